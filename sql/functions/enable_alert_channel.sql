--! requires: bring_alerts_again
-- Gives a channel that was switched off (a webhook that answered 410) another chance, and brings it what nobody heard
-- of meanwhile. Run by an operator.
create or replace function reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
    delete from reactor.alert_channels_off o where o.tenant_id = p_tenant_id and o.channel = p_channel;
    if not found then
        return false;
    end if;
    perform reactor.bring_alerts_again(p_tenant_id);
    return true;
end;
$$;

revoke all on function reactor.enable_alert_channel(uuid, text) from public;
grant execute on function reactor.enable_alert_channel(uuid, text) to reactor, service_role;
