--! requires: now
-- The fence alone: fails with RX001 unless the run still holds its lease, and holds the lease's row
-- until the caller's transaction ends. Called by ctx.checkpoint(), whose commit acknowledges nothing.
create or replace function reactor.fence(p_tenant uuid, p_run uuid) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    if current_setting('reactor.tenant_id', true) is distinct from p_tenant::text then
        raise exception 'the handler ended its transaction itself (COMMIT, ROLLBACK or SET): nothing is committed'
            using errcode = 'RX004';
    end if;
    perform from public.agent_tenant_locks l
    where l.tenant_id = p_tenant and l.run_id = p_run and l.expires_at > reactor.now()
    for update;
    if not found then
        raise exception 'the lease was lost: nothing is committed' using errcode = 'RX001', detail = p_run::text;
    end if;
end;
$$;

revoke all on function reactor.fence(uuid, uuid) from public;
grant execute on function reactor.fence(uuid, uuid) to reactor;
