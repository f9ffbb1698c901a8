-- The application's own tables, in a minimal shape, each only where it is absent. One that exists is
-- the application's: nothing of it is altered, but for the two columns of tenants.

-- Which of them this migration makes decides, at the end, which ones it also secures.
create temporary table host_tables_made on commit drop as
select t.name
  from unnest(array['tenants', 'profiles', 'clients', 'contacts', 'products', 'orders', 'kanban_cards',
                    'email_suppressions']::name[]) as t(name)
 where to_regclass('public.' || t.name) is null;

create table if not exists public.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  is_active boolean not null default true,
  agent_enabled boolean not null default false,
  agent_settings jsonb not null default '{}',
  created_at timestamptz not null default now()
);
alter table public.tenants add column if not exists agent_enabled boolean not null default false;
alter table public.tenants add column if not exists agent_settings jsonb not null default '{}';

create table if not exists public.profiles (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  role text not null default 'user' check (role in ('user', 'admin', 'super_admin')),
  email text,
  created_at timestamptz not null default now()
);

create table if not exists public.clients (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  company_name text not null,
  is_active boolean not null default true,
  credit_limit numeric(14, 2) not null default 0,
  balance numeric(14, 2) not null default 0,
  created_at timestamptz not null default now()
);

create table if not exists public.contacts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  client_id uuid references public.clients (id) on delete cascade,
  first_name text,
  last_name text,
  email text,
  title text,
  is_primary boolean not null default false,
  created_at timestamptz not null default now()
);

create table if not exists public.products (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  name text not null,
  price numeric(14, 2),
  min_price numeric(14, 2),
  max_price numeric(14, 2),
  created_at timestamptz not null default now()
);

create table if not exists public.orders (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  client_id uuid references public.clients (id) on delete set null,
  product_id uuid references public.products (id) on delete set null,
  status text not null default 'new',
  fee_amount numeric(14, 2),
  total_amount numeric(14, 2),
  tech_fee numeric(14, 2),
  payment_method text,
  property_address text,
  property_city text,
  property_state text,
  property_zip text,
  borrower_name text,
  borrower_email text,
  borrower_phone text,
  property_contact_name text,
  property_contact_phone text,
  created_at timestamptz not null default now()
);

create table if not exists public.kanban_cards (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  client_id uuid references public.clients (id) on delete cascade,
  contact_id uuid references public.contacts (id) on delete set null,
  type text not null,
  title text not null,
  description text,
  rationale text,
  priority text not null default 'medium' check (priority in ('low', 'medium', 'high')),
  state text not null default 'suggested'
    check (state in ('suggested', 'in_review', 'approved', 'executing', 'done', 'blocked', 'rejected')),
  action_payload jsonb not null default '{}',
  due_at timestamptz,
  created_at timestamptz not null default now()
);

create table if not exists public.email_suppressions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  contact_id uuid references public.contacts (id) on delete cascade,
  email text,
  reason text not null check (reason in ('unsubscribe', 'bounce', 'complaint', 'manual')),
  bounce_type text,
  created_at timestamptz not null default now()
);

-- The tenant of the caller of an API request: auth.uid() → profiles.tenant_id. SECURITY DEFINER,
-- because the application may hide profiles from its users, and a policy on profiles itself that
-- looked into profiles would never end.
create or replace function reactor.caller_tenant() returns uuid
  language sql stable parallel safe security definer
  set search_path = ''
begin atomic
  select p.tenant_id from public.profiles p where p.id = auth.uid();
end;

do $$
begin
  if not has_function_privilege('reactor_owner', 'auth.uid()', 'execute') then
    grant execute on function auth.uid() to reactor_owner;
  end if;
end
$$;
revoke all on function reactor.caller_tenant() from public;
grant execute on function reactor.caller_tenant() to authenticated, service_role, reactor, reactor_handler;

-- The engine asks who the tenants are and whose profile a caller has; nothing else of the host's.
grant select on public.tenants to reactor_owner, reactor;
grant update (agent_enabled, agent_settings) on public.tenants to reactor_owner, reactor;
grant select on public.profiles to reactor_owner;

drop policy if exists reactor_engine on public.tenants;
create policy reactor_engine on public.tenants to reactor_owner, reactor using (true) with check (true);
drop policy if exists reactor_engine on public.profiles;
create policy reactor_engine on public.profiles to reactor_owner using (true) with check (true);

-- Tables made here are guarded like the contract's: the caller's tenant, and the service role.
do $$
declare
  v_table name;
  v_column name;
  v_rights text;
begin
  for v_table in select name from pg_temp.host_tables_made loop
    v_column := case v_table when 'tenants' then 'id' else 'tenant_id' end;
    v_rights := case when v_table in ('tenants', 'profiles') then 'select' else 'select, insert, update, delete' end;
    if v_table <> 'tenants' then
      execute format('create index on public.%I (tenant_id)', v_table);
    end if;
    execute format('alter table public.%I enable row level security', v_table);
    execute format('create policy tenant_isolation on public.%I to authenticated
                      using (%I = (select reactor.caller_tenant()))
                      with check (%2$I = (select reactor.caller_tenant()))', v_table, v_column);
    execute format('create policy service_role_all on public.%I to service_role using (true) with check (true)', v_table);
    execute format('revoke all on public.%I from anon, authenticated', v_table);
    execute format('grant %s on public.%I to authenticated', v_rights, v_table);
    execute format('grant select, insert, update, delete on public.%I to service_role', v_table);
  end loop;
end
$$;
