--! requires: raise_alert
-- Raises what the alert rules found, each at most once an hour for a tenant and rule. Called by the leader's
-- housekeeping. p_findings: [{tenant_id, alert_type, severity, message, metadata}]. Returns how many were new.
create or replace function reactor.record_findings(p_findings jsonb) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_raised int;
begin
    select count(reactor.raise_alert(f.tenant_id, f.alert_type, f.severity, f.message, f.metadata)) into v_raised
    from jsonb_to_recordset(p_findings) as f (
        tenant_id uuid, alert_type text, severity text, message text, metadata jsonb);
    return v_raised;
end;
$$;

revoke all on function reactor.record_findings(jsonb) from public;
grant execute on function reactor.record_findings(jsonb) to reactor;
