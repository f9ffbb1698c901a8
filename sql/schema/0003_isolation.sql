-- What guards every table of the contract that has a tenant_id, in one place so that no table differs.
-- Safe to call again; policies that an application added under other names stay.
create or replace function reactor.isolate(p_table regclass) returns void
  language plpgsql
  set search_path = ''
as $$
begin
  execute format('alter table %s enable row level security', p_table);

  execute format('drop policy if exists tenant_isolation on %s', p_table);
  execute format('create policy tenant_isolation on %s to authenticated
                    using (tenant_id = (select reactor.caller_tenant()))
                    with check (tenant_id = (select reactor.caller_tenant()))', p_table);

  execute format('drop policy if exists service_role_all on %s', p_table);
  execute format('create policy service_role_all on %s to service_role using (true) with check (true)', p_table);

  -- Engine functions run as reactor_owner, command line and dashboard as reactor: both work for all tenants.
  execute format('drop policy if exists reactor_engine on %s', p_table);
  execute format('create policy reactor_engine on %s to reactor_owner, reactor using (true) with check (true)', p_table);

  -- Supabase grants everything in public to anon by default.
  execute format('revoke all on %s from public, anon', p_table);
  execute format('revoke truncate, references, trigger on %s from authenticated', p_table);
  execute format('grant select, insert, update, delete on %s to authenticated, service_role, reactor_owner, reactor', p_table);
end
$$;
revoke all on function reactor.isolate(regclass) from public;

-- Partitioned tables belong to reactor_owner: only an owner can add partitions and drop old ones, which
-- reactor.ensure_partitions() and reactor.apply_retention() do.
create or replace function reactor.take_ownership(p_table regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_may_create boolean := has_schema_privilege('reactor_owner', 'public', 'create');
begin
  if (select relowner from pg_catalog.pg_class where oid = p_table) = 'reactor_owner'::regrole then
    return;
  end if;
  if not v_may_create then
    grant create on schema public to reactor_owner;
  end if;
  execute format('alter table %s owner to reactor_owner', p_table);
  if not v_may_create then
    revoke create on schema public from reactor_owner;
  end if;
exception
  when insufficient_privilege then
    raise exception 'table % cannot be handed to reactor_owner: %', p_table, sqlerrm
      using errcode = 'insufficient_privilege',
            hint = 'Migrate as the owner of schema public, or run as its owner: '
                   'grant create on schema public to reactor_owner;';
end
$$;
revoke all on function reactor.take_ownership(regclass) from public;
