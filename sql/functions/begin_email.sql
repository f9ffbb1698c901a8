--! requires: now
-- queued → sending (or sending → sending, when a provider that remembers keys is asked again). Called by the
-- handler of email.send, which commits this before anything leaves the house.
create or replace function reactor.begin_email(p_intent uuid, p_provider text) returns void
language plpgsql set search_path = ''
as $$
begin
    update reactor.email_intents i
    set
        status = 'sending', provider = p_provider, tries = i.tries + 1,
        -- The first try: how long a provider may still remember the key is counted from there.
        sending_at = coalesce(i.sending_at, reactor.now())
    where i.id = p_intent and i.status in ('queued', 'sending');
    if not found then
        raise exception 'email % is not waiting to be sent', p_intent using errcode = 'RX003';
    end if;
end;
$$;

revoke all on function reactor.begin_email(uuid, text) from public;
grant execute on function reactor.begin_email(uuid, text) to reactor, reactor_handler;
