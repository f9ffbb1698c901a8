--! requires: now, raise_alert
-- Writes down that the email provider failed; the fifth failure of a tenant within 15 minutes raises the
-- critical alert provider_failure, at most once an hour. p_at_once raises it without waiting for five: a
-- replica for which an outage begins counted failures of all tenants, or learnt that its credentials are bad, which do
-- not mend themselves. The alert is not delivered by email (not_via).
-- Called by the handler of email.send, in the tenant's scope. Returns the alert's id, if one was raised.
create or replace function reactor.record_email_failure(
    p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean default false
) returns uuid
language plpgsql set search_path = ''
as $$
declare
    v_recent int;
begin
    insert into public.email_provider_failures (tenant_id, error_type, error_message, provider, created_at)
    values (p_tenant_id, p_error_type, left(p_message, 1000), p_provider, reactor.now());

    select count(*) into v_recent
    from (
        select from public.email_provider_failures f
        where f.tenant_id = p_tenant_id and f.created_at > reactor.now() - interval '15 minutes'
        limit 5) f;
    if v_recent < 5 and not p_at_once then
        return null;
    end if;
    return reactor.raise_alert(
        p_tenant_id, 'provider_failure', 'critical',
        format('Email cannot be sent: %s (%s, %s)', left(p_message, 300), p_provider, p_error_type),
        jsonb_build_object(
            'provider', p_provider, 'error_type', p_error_type, 'failures_in_15_minutes', v_recent,
            'not_via', jsonb_build_array('email')));
end;
$$;

revoke all on function reactor.record_email_failure(uuid, text, text, text, boolean) from public;
grant execute on function reactor.record_email_failure(uuid, text, text, text, boolean) to reactor, reactor_handler;
