--! requires: now, acknowledge, note_runs
-- ctx.checkpoint(): acknowledges what the run finished before the current event, and fences, so that the
-- caller's commit also keeps what the current event's handler wrote so far. The lease goes on.
create or replace function reactor.checkpoint(
    p_tenant uuid, p_run uuid, p_done bigint[], p_verdicts jsonb, p_counts jsonb
) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    if current_setting('reactor.tenant_id', true) is distinct from p_tenant::pg_catalog.text then
        raise exception 'the handler ended its transaction itself (COMMIT, ROLLBACK or SET): nothing is committed'
            using errcode = 'RX004';
    end if;
    -- As in reactor.settle().
    if coalesce(current_setting('reactor.left_role', true), '') not in ('', 'reactor_handler') then
        raise exception 'the handler gave up its role (SET ROLE): nothing is committed'
            using errcode = 'RX004', hint = 'a handler works as reactor_handler, also in functions and DO blocks: for '
                'more rights, call a function that is SECURITY DEFINER';
    end if;
    perform reactor.acknowledge(array[p_tenant], array[p_run], p_done, p_verdicts);
    perform from public.agent_tenant_locks l
    where l.tenant_id = p_tenant and l.run_id = p_run and l.expires_at > reactor.now()
    for update;
    if not found then
        raise exception 'the lease was lost: nothing is committed' using errcode = 'RX001', detail = p_run::pg_catalog.text;
    end if;
    if p_counts is not null then
        perform reactor.note_runs(array[p_run], '{}', p_counts);
    end if;
end;
$$;

revoke all on function reactor.checkpoint(uuid, uuid, bigint[], jsonb, jsonb) from public;
grant execute on function reactor.checkpoint(uuid, uuid, bigint[], jsonb, jsonb) to reactor;
