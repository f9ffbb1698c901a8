-- Switches of the whole system. Everybody concerned may read them, so there is no row level security;
-- only the service role and the engine may write.
create table reactor_blueprint.system_config (
  key text primary key,
  value jsonb not null,
  updated_at timestamptz not null default now()
);

select reactor.adopt_table('system_config');

do $$
begin
  if (select relrowsecurity from pg_catalog.pg_class where oid = 'public.system_config'::regclass) then
    alter table public.system_config disable row level security;
  end if;
end
$$;
revoke all on public.system_config from public, anon, authenticated;
grant select on public.system_config to authenticated, reactor, reactor_handler;
grant select, insert, update, delete on public.system_config to service_role, reactor_owner;

insert into public.system_config (key, value)
values ('agent_config', '{"global_enabled": false, "kill_switch_reason": null}')
on conflict (key) do update set value = excluded.value || system_config.value
 where not system_config.value ?& array['global_enabled', 'kill_switch_reason'];
