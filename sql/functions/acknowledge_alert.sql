--! requires: now
-- Somebody has seen the alert: it is not delivered again. False when it was acknowledged before. Called by
-- `reactor alerts ack`. p_by: the person's profile, where there is one.
create or replace function reactor.acknowledge_alert(p_alert uuid, p_by uuid default null) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
    if p_by is not null and not exists (select from public.profiles p where p.id = p_by) then
        raise exception 'there is no profile %', p_by using errcode = 'RX003';
    end if;
    update public.agent_alerts a
    set acknowledged = true, acknowledged_at = reactor.now(), acknowledged_by = p_by
    where a.id = p_alert and not a.acknowledged;
    if found then
        return true;
    end if;
    if not exists (select from public.agent_alerts a where a.id = p_alert) then
        raise exception 'there is no alert %', p_alert using errcode = 'RX003';
    end if;
    return false;
end;
$$;

revoke all on function reactor.acknowledge_alert(uuid, uuid) from public;
grant execute on function reactor.acknowledge_alert(uuid, uuid) to reactor;
