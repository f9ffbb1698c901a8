-- The kill switch and a tenant's enablement take effect at once. Row-level with a condition, so any
-- other update of tenants costs nothing.
create or replace trigger reactor_gate after update on public.tenants
for each row
when (
    old.is_active is distinct from new.is_active
    or old.agent_enabled is distinct from new.agent_enabled)
execute function reactor.announce_gate();

create or replace trigger reactor_gate after insert or update on public.system_config
for each row execute function reactor.announce_gate();
