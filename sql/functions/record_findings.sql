--! requires: now, raise_alert
-- Raises what the alert rules found, each at most once an hour for a tenant and rule. Called by the leader's
-- housekeeping. p_findings: [{tenant_id, alert_type, severity, message, metadata}]. Returns how many were new.
create or replace function reactor.record_findings(p_findings jsonb) returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_raised int;
    -- A variable, because a volatile function in a condition is no key for an index.
    v_since constant pg_catalog.timestamptz := reactor.now() - interval '1 hour';
begin
    -- As reactor.raise_alert() does for one alert, for all of a rule at once: an outage that trips a rule for every
    -- tenant would fill the server's table of locks with one for each.
    perform pg_advisory_xact_lock(hashtextextended('reactor.record_findings ' || t.alert_type, 0))
    from (
        select distinct f.alert_type
        from jsonb_to_recordset(p_findings) as f (alert_type pg_catalog.text)
        order by 1 offset 0) t;
    begin
        with found as materialized (
            -- The first of several for the same tenant and rule.
            select distinct on (f.tenant_id, f.alert_type) f.*
            from rows from (jsonb_to_recordset(p_findings) as (
                tenant_id pg_catalog.uuid, alert_type pg_catalog.text, severity pg_catalog.text,
                message pg_catalog.text, metadata pg_catalog.jsonb)) with ordinality
                as f (tenant_id, alert_type, severity, message, metadata, n)
            order by f.tenant_id, f.alert_type, f.n
        )
        insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
        select f.tenant_id, f.alert_type, f.severity, f.message, f.metadata, reactor.now()
        from found f
        -- Looked up one by one, by index: in a plan that is kept, many findings and old alerts are as likely as few.
        where not exists (
            select from public.agent_alerts a
            where a.tenant_id = f.tenant_id and a.alert_type = f.alert_type and a.created_at > v_since
            offset 0)
        order by f.n;
        get diagnostics v_raised = row_count;
    exception
    -- The server's trouble is nobody's fault: all of it is tried again.
    when insufficient_resources or transaction_rollback or lock_not_available then
        raise;
    when others then
        -- The application refuses one of them; the others are raised one by one.
        if jsonb_array_length(p_findings) = 1 then
            raise warning 'an alert of tenant % cannot be raised: %', p_findings -> 0 ->> 'tenant_id', sqlerrm;
            return 0;
        end if;
        select sum(reactor.record_findings(jsonb_build_array(o.finding))) into v_raised
        from jsonb_array_elements(p_findings) as o (finding);
    end;
    return v_raised;
end;
$$;

revoke all on function reactor.record_findings(jsonb) from public;
grant execute on function reactor.record_findings(jsonb) to reactor;
