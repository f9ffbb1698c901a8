--! requires: now
-- Raises an alert unless the same one was raised within p_quiet: same tenant, type, and whatever p_same says
-- about the metadata. Returns its id, or null when it was kept quiet. Called by handlers in their tenant's
-- scope, and by functions of the engine.
create or replace function reactor.raise_alert(
    p_tenant_id uuid,
    p_type text,
    p_severity text,
    p_message text,
    p_metadata jsonb default '{}',
    p_quiet interval default '1 hour',
    p_same jsonb default '{}'
) returns uuid
language plpgsql set search_path = ''
as $$
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_id pg_catalog.uuid;
    -- A variable, because a volatile function in a condition is no key for an index.
    v_since constant pg_catalog.timestamptz := reactor.now() - p_quiet;
begin
    -- Two callers at once would both find nothing. The first lock is for reactor.record_findings(), which takes it
    -- for all tenants; among themselves tenants share it, and none waits for another.
    perform pg_advisory_xact_lock_shared(hashtextextended('reactor.record_findings ' || p_type, 0));
    perform pg_advisory_xact_lock(
        hashtextextended('reactor.raise_alert ' || p_tenant_id::pg_catalog.text || p_type, 0));
    if not exists (
        select from public.agent_alerts a
        where a.tenant_id = p_tenant_id and a.alert_type = p_type and a.metadata @> p_same
            and a.created_at > v_since)
    then
        insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
        values (p_tenant_id, p_type, p_severity, p_message, p_metadata, reactor.now())
        returning id into v_id;
    end if;
    return v_id;
end;
$$;

revoke all on function reactor.raise_alert(uuid, text, text, text, jsonb, interval, jsonb) from public;
grant execute on function reactor.raise_alert(uuid, text, text, text, jsonb, interval, jsonb)
to reactor, reactor_handler;
