-- The ground everything else stands on: the roles, schema reactor, and the three primitives that
-- table definitions and policies call.
--
-- Roles belong to the whole server, so another database of it may be creating them at this moment:
-- losing that race is not an error.

do $$
declare
  v_role name;
  v_missing name[];
begin
  select array_agg(r.name) into v_missing
    from unnest(array['reactor_owner', 'reactor', 'reactor_handler', 'anon', 'authenticated', 'service_role']::name[])
      as r(name)
   where not exists (select from pg_catalog.pg_roles p where p.rolname = r.name);

  foreach v_role in array coalesce(v_missing, '{}') loop
    begin
      -- "reactor" is a member of reactor_handler but must not inherit from it: the handlers' restrictive
      -- policies would otherwise bind the replica itself.
      execute format('create role %I nologin %s', v_role, case when v_role = 'reactor' then 'noinherit' else '' end);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise exception 'role % is missing and % may not create roles', v_role, current_user
          using errcode = 'insufficient_privilege',
                hint = format(
                  'Run as a superuser, then migrate again: %s grant reactor_owner, reactor to %I;',
                  (select string_agg(format('create role %I nologin;', m), ' ') from unnest(v_missing) m),
                  current_user);
    end;
  end loop;
end
$$;

do $$
declare
  v_superuser boolean := (select rolsuper from pg_catalog.pg_roles where rolname = current_user);
begin
  if current_setting('server_version_num')::int >= 160000 then
    if not exists (
      select from pg_catalog.pg_auth_members m
       where m.roleid = 'reactor_handler'::regrole and m.member = 'reactor'::regrole
         and not (to_jsonb(m) ->> 'inherit_option')::boolean and (to_jsonb(m) ->> 'set_option')::boolean
    ) then
      execute 'grant reactor_handler to reactor with inherit false, set true';
    end if;
  else
    if (select rolinherit from pg_catalog.pg_roles where rolname = 'reactor') then
      alter role reactor noinherit;
    end if;
    if not pg_has_role('reactor', 'reactor_handler', 'member') then
      grant reactor_handler to reactor;
    end if;
  end if;

  -- The migrating user creates objects for reactor_owner and, on a first try, also runs the reactor.
  if not v_superuser then
    if not pg_has_role('reactor_owner', 'usage') then
      execute format('grant reactor_owner to %I', current_user);
    end if;
    if not pg_has_role('reactor', 'usage') then
      execute format('grant reactor to %I', current_user);
    end if;
  end if;
exception
  when insufficient_privilege then
    raise exception '% may not hand out the roles of the reactor', current_user
      using errcode = 'insufficient_privilege',
            hint = format('Run as a superuser, then migrate again: grant reactor_handler to reactor; '
                          'grant reactor_owner, reactor to %I;', current_user);
  when unique_violation then null;  -- another database's migration granted it at the same moment
end
$$;

create schema if not exists reactor authorization reactor_owner;
revoke all on schema reactor from public;
grant usage on schema reactor to reactor, reactor_handler, service_role, authenticated;

-- A hardened database may have taken USAGE on public from everybody.
do $$
declare
  v_role name;
begin
  foreach v_role in array array['reactor_owner', 'reactor', 'reactor_handler', 'authenticated', 'service_role']::name[] loop
    if not has_schema_privilege(v_role, 'public', 'usage') then
      execute format('grant usage on schema public to %I', v_role);
    end if;
  end loop;
end
$$;

-- Ids are UUIDv7: ordered by time, so that partitions can be cut by id and the primary key stays (id).
-- PostgreSQL 18 makes them itself; 15 to 17 put milliseconds, version and the fraction of the
-- millisecond before the random half of a version 4 one.
do $$
begin
  if current_setting('server_version_num')::int >= 180000 then
    execute $sql$
      create or replace function reactor.uuid7() returns uuid
        language sql volatile parallel safe
        return pg_catalog.uuidv7()
    $sql$;
  else
    execute $sql$
      create or replace function reactor.uuid7() returns uuid
        language sql volatile parallel safe
      begin atomic
        select encode(
                 int8send(((t.us / 1000) << 16) | 28672 | ((t.us % 1000) * 4096 / 1000))
                   || substring(uuid_send(gen_random_uuid()) from 9),
                 'hex')::uuid
          from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) t;
      end
    $sql$;
  end if;
end
$$;

-- Whoever may insert a row must be able to evaluate the default of its id, and it gives nothing away:
-- the one function that stays open to everybody, as gen_random_uuid() is.
grant execute on function reactor.uuid7() to public;

-- The smallest id of an instant: a bound for a partition or a range of ids.
create or replace function reactor.uuid7_floor(p_at timestamptz) returns uuid
  language sql immutable strict parallel safe
begin atomic
  select encode(int8send((floor(extract(epoch from p_at) * 1000))::bigint << 16) || '\x0000000000000000'::bytea, 'hex')::uuid;
end;

-- The instant an id was made, the inverse of uuid7_floor(). Of a version 4 id it is a meaningless time.
create or replace function reactor.uuid7_time(p_id uuid) returns timestamptz
  language sql immutable strict parallel safe
begin atomic
  select to_timestamp((('x0000' || left(replace(p_id::text, '-', ''), 12))::bit(64)::bigint)::numeric / 1000);
end;

-- The tenant of a handler's transaction. With none set it fails, loudly: a policy that merely saw
-- nothing would let a handler do nothing and be acknowledged.
create or replace function reactor.current_tenant() returns uuid
  language plpgsql stable parallel safe
  set search_path = ''
as $$
declare
  v_tenant text := current_setting('reactor.tenant_id', true);
begin
  if v_tenant is null or v_tenant = '' then
    raise exception 'no tenant is set: rows of a tenant can be reached only with the setting reactor.tenant_id'
      using errcode = 'RX002',
            hint = 'Handlers reach the database through ctx.db, which sets it.';
  end if;
  return v_tenant::uuid;
exception
  when invalid_text_representation then
    raise exception 'the setting reactor.tenant_id is not a uuid: %', v_tenant using errcode = 'RX002';
end
$$;

revoke all on function reactor.uuid7_floor(timestamptz) from public;
revoke all on function reactor.uuid7_time(uuid) from public;
revoke all on function reactor.current_tenant() from public;
grant execute on function reactor.uuid7_floor(timestamptz) to reactor, reactor_handler, service_role;
grant execute on function reactor.uuid7_time(uuid) to reactor, reactor_handler, service_role;
grant execute on function reactor.current_tenant() to reactor, reactor_handler;

-- Supabase has auth.uid(); elsewhere it is made to read the same settings that PostgREST sets.
do $do$
begin
  if to_regprocedure('auth.uid()') is null then
    create schema if not exists auth;
    grant usage on schema auth to anon, authenticated, service_role;
    execute $sql$
      create function auth.uid() returns uuid
        language sql stable parallel safe
      begin atomic
        select coalesce(
                 nullif(current_setting('request.jwt.claim.sub', true), ''),
                 nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
               )::uuid;
      end
    $sql$;
    revoke all on function auth.uid() from public;
    grant execute on function auth.uid() to anon, authenticated, service_role, reactor_owner;
  end if;
end
$do$;
