--! requires: now
-- The other steps of an email's life, see sql/schema/0200_outbound.sql. Called by the handler of email.send.
-- Back to 'queued' is for a try that certainly sent nothing: it forgets the try's time.
create or replace function reactor.settle_email(
    p_intent uuid, p_status text, p_provider_message_id text default null, p_error text default null
) returns void
language plpgsql set search_path = ''
as $$
begin
    update reactor.email_intents i
    set
        status = p_status,
        provider_message_id = coalesce(p_provider_message_id, i.provider_message_id),
        error = p_error,
        sending_at = case when p_status = 'queued' then null else i.sending_at end,
        settled_at = case when p_status = 'queued' then null else reactor.now() end
    where i.id = p_intent and (
        (i.status = 'sending' and p_status in ('sent', 'queued', 'failed', 'unknown'))
        or (i.status = 'queued' and p_status in ('blocked', 'cancelled', 'failed')));
    if not found then
        raise exception 'email % cannot become %', p_intent, p_status using errcode = 'RX003';
    end if;
end;
$$;

revoke all on function reactor.settle_email(uuid, text, text, text) from public;
grant execute on function reactor.settle_email(uuid, text, text, text) to reactor, reactor_handler;
