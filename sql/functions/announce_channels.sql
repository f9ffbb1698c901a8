--! requires: bring_alerts_again
-- Trigger function: a tenant's channels for alerts are others now, so what found none before may find one.
create or replace function reactor.announce_channels() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    -- The application's column may be text or json (which has no equality), and hold anything.
    if old.agent_settings::text is distinct from new.agent_settings::text
        and old.agent_settings::text::jsonb -> 'alerts' is distinct from new.agent_settings::text::jsonb -> 'alerts' then
        perform reactor.bring_alerts_again(new.id);
    end if;
    return null;
exception when others then
    -- Whoever saves settings must not fail because of us.
    raise warning 'reactor: alerts of tenant % that found no channel are not delivered again: %', new.id, sqlerrm;
    return null;
end;
$$;

revoke all on function reactor.announce_channels() from public;
