--! requires: now
-- Writes an hour's reflections and notes that the hour is done; doing it again changes nothing, because a
-- reflection's id is made from its tenant and hour. Called by the leader's housekeeping. p_reflections:
-- [{tenant_id, summary, changes, metrics_delta, blockers, insights, next_hour_priorities}].
--
-- run_id stays null: a reflection is about all runs of an hour, and must not vanish with one of them.
create or replace function reactor.record_reflections(p_hour timestamptz, p_reflections jsonb) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_written int;
begin
    begin
        insert into public.agent_hourly_reflections (
            id, tenant_id, summary, changes, metrics_delta, blockers, insights, next_hour_priorities, created_at)
        select md5('reactor.reflection ' || f.tenant_id::text || ' ' || extract(epoch from p_hour)::bigint::text)::uuid,
            f.tenant_id, f.summary, f.changes, f.metrics_delta, f.blockers, f.insights, f.next_hour_priorities, reactor.now()
        from jsonb_to_recordset(p_reflections) as f (
            tenant_id uuid, summary jsonb, changes jsonb, metrics_delta jsonb, blockers jsonb, insights jsonb,
            next_hour_priorities jsonb)
        on conflict (id) do nothing;
        get diagnostics v_written = row_count;
    exception
    -- The server's trouble is nobody's fault: all of it is tried again.
    when insufficient_resources or transaction_rollback or lock_not_available then
        raise;
    when others then
        -- The application refuses one of them; the others are written one by one.
        if jsonb_array_length(p_reflections) = 1 then
            raise warning 'the reflection of tenant % cannot be written: %', p_reflections -> 0 ->> 'tenant_id', sqlerrm;
            v_written := 0;
        else
            select sum(reactor.record_reflections(p_hour, jsonb_build_array(o.one))) into v_written
            from jsonb_array_elements(p_reflections) as o (one);
        end if;
    end;

    insert into reactor.reflected_hours (hour, tenants, reflected_at)
    values (p_hour, v_written, reactor.now())
    on conflict (hour) do update set tenants = greatest(reflected_hours.tenants, excluded.tenants);
    delete from reactor.reflected_hours r where r.hour < reactor.now() - interval '7 days';
    return v_written;
end;
$$;

revoke all on function reactor.record_reflections(timestamptz, jsonb) from public;
grant execute on function reactor.record_reflections(timestamptz, jsonb) to reactor;
