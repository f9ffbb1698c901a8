--! requires: now, emit
-- Sends the fleet's canary, the event reactor.canary, when p_every has passed since the last one, and notes
-- what became of that. Called by every replica's upkeep/canary; whoever comes first does it, so it needs no
-- leader. Returns when one was last sent, as an age, and for how long none has come through (null: it did).
--
-- A canary is an event of a real tenant, because only those are claimed. Tenants take turns, and of the next
-- few one is taken that may act, has nothing in hand and nothing waiting. It changes nothing there: it is not
-- gated, comes first in its tenant's order, and the run that took it and nothing else is removed again, so that
-- no report counts it. There is never more than one: while the last one waits, none is sent; one that failed
-- and waits for its next try makes room for a new one.
create or replace function reactor.tend_canary(p_every interval) returns table (age interval, silence interval)
language plpgsql security definer set search_path = ''
as $$
declare
    v_type constant text := 'reactor.canary';
    v_now timestamptz := reactor.now();
    v_canary reactor.canary;
    v_finished timestamptz;
    v_took interval;
    v_run uuid;
    v_tenant uuid;
begin
    perform set_config('synchronous_commit', 'off', true);
    select c.* into v_canary from reactor.canary c for update skip locked;
    if not found then
        -- Another replica is at it.
        return query select v_now - c.sent_at, v_now - c.unheard_since from reactor.canary c;
        return;
    end if;

    if v_canary.unheard_since is not null then
        select h.finished_at, h.run_id, h.finished_at - h.created_at
        into v_finished, v_run, v_took
        from reactor.history h where h.id = v_canary.event_id and h.outcome = 'handled';
        if found then
            v_canary.unheard_since := null;
            v_canary.heard_at := v_finished;
            v_canary.took := v_took;
            begin
                delete from public.agent_autonomous_runs r
                where r.id = v_run and r.status = 'completed' and exists (
                    select from reactor.in_flight f
                    where f.tenant_id = v_canary.tenant_id and f.run_id = v_run and f.ids = array[v_canary.event_id]);
            exception when others then
                -- The application keeps runs, by a trigger or a reference: this one, too.
            end;
        end if;
    end if;

    -- Nine tenths: replicas look a moment early as well as late.
    if v_canary.sent_at is null or v_canary.sent_at > v_now or v_canary.sent_at + p_every * 0.9 <= v_now then
        delete from reactor.events e where e.id = v_canary.event_id and e.available_at is not null;
        if not exists (select from reactor.events e where e.id = v_canary.event_id) then
            for v_wrapped in 0 .. 1 loop
                select n.id into v_tenant
                from (
                    select t.id, t.is_active and t.agent_enabled as may_act
                    from public.tenants t
                    where v_wrapped = 1 or v_canary.tenant_id is null or t.id > v_canary.tenant_id
                    order by t.id limit 20) n
                order by
                    n.may_act desc,
                    exists (select from public.agent_tenant_locks l where l.tenant_id = n.id),
                    exists (select from reactor.events e where e.tenant_id = n.id and e.available_at is null),
                    n.id
                limit 1;
                exit when found;
            end loop;
            if v_tenant is null then
                v_canary.unheard_since := null;
            else
                v_canary.event_id := reactor.emit(v_tenant, v_type, priority => -2147483648, dedup_key => v_type);
                v_canary.tenant_id := v_tenant;
                v_canary.sent_at := v_now;
                v_canary.unheard_since := coalesce(v_canary.unheard_since, v_now);
            end if;
        end if;
    end if;

    update reactor.canary c
    set event_id = v_canary.event_id, tenant_id = v_canary.tenant_id, sent_at = v_canary.sent_at,
        unheard_since = v_canary.unheard_since, heard_at = v_canary.heard_at, took = v_canary.took
    where c is distinct from v_canary;
    return query select v_now - v_canary.sent_at, v_now - v_canary.unheard_since;
end;
$$;

revoke all on function reactor.tend_canary(interval) from public;
grant execute on function reactor.tend_canary(interval) to reactor;
