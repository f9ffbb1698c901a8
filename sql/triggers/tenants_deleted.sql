--! requires: await_settlement
-- A tenant that is deleted in the moment in which its run ends: one waits for the other.
create or replace trigger reactor_delete before delete on public.tenants
for each row execute function reactor.await_settlement();
