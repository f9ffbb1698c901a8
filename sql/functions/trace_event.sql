--! requires: read_event
-- The life of one event as a document: the event, the chain of events that caused it (the first cause first),
-- what it caused in turn (level by level, at most p_limit) and the runs that are known to have had it. Null
-- when nobody knows the event. Called by `reactor events trace`.
--
-- Events that wait have no index on their cause: each level reads the outbox once.
create or replace function reactor.trace_event(p_id bigint, p_limit int default 200) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
    v_event jsonb := reactor.read_event(p_id);
    v_causes jsonb := '[]';
    v_effects jsonb := '[]';
    v_next jsonb := v_event;
    v_level bigint[] := array[p_id];
    v_found jsonb;
    v_runs uuid[];
    v_more boolean := false;
begin
    if v_event is null then
        return null;
    end if;

    while v_next ->> 'cause_id' is not null and jsonb_array_length(v_causes) < 20 loop
        v_found := reactor.read_event((v_next ->> 'cause_id')::bigint);
        v_next := coalesce(v_found, jsonb_build_object('id', v_next -> 'cause_id', 'state', 'forgotten'));
        v_causes := jsonb_build_array(v_next - 'payload') || v_causes;
    end loop;

    while cardinality(v_level) > 0 and not v_more loop
        select jsonb_agg(x.found order by x.id), array_agg(x.id)
        into v_found, v_level
        from (
            select y.id, y.found from (
                select e.id, to_jsonb(e) - 'payload' || '{"state": "waiting"}' as found
                from reactor.events e where e.cause_id = any (v_level)
                union all
                select d.id, to_jsonb(d) - 'payload' || '{"state": "dead"}'
                from reactor.dead_events d where d.cause_id = any (v_level)
                union all
                select h.id, to_jsonb(h) - 'payload' || '{"state": "finished"}'
                from reactor.history h where h.cause_id = any (v_level)
            ) y
            order by y.id
            limit p_limit + 1 - jsonb_array_length(v_effects)
        ) x;
        v_effects := v_effects || coalesce(v_found, '[]');
        v_more := jsonb_array_length(v_effects) > p_limit;
        exit when v_level is null;
    end loop;
    if v_more then
        v_effects := v_effects - p_limit;
    end if;

    v_runs := array(
        select distinct r.id from (
            select (v_event ->> 'run_id')::uuid
            union all
            select (x.value ->> 'run_id')::uuid from jsonb_array_elements(v_event -> 'errors') x
            union all
            select f.run_id from reactor.in_flight f
            join public.agent_tenant_locks l on l.tenant_id = f.tenant_id and l.run_id = f.run_id
            where f.tenant_id = (v_event ->> 'tenant_id')::uuid and p_id = any (f.ids)) r (id)
        where r.id is not null);
    return jsonb_build_object(
        'event', v_event, 'causes', v_causes, 'effects', v_effects, 'more_effects', v_more,
        'runs', (
            select coalesce(jsonb_agg(to_jsonb(a) order by a.started_at), '[]')
            from public.agent_autonomous_runs a where a.id = any (v_runs)));
end;
$$;

revoke all on function reactor.trace_event(bigint, int) from public;
grant execute on function reactor.trace_event(bigint, int) to reactor;
