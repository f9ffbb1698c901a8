-- A CRM whose automation is an hourly cron job. Its agent tables are one version behind: unpartitioned, ids of
-- version 4, is_compliant and days_overdue kept by application code, no policy for the service role.
create type order_stage as enum ('draft', 'submitted', 'closed');

create table tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) > 2),
  slug text not null unique,
  plan text not null default 'basic',
  is_active boolean default true,
  billing_email text not null,
  created_at timestamptz not null default now()
);
create table profiles (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  role text not null default 'user' check (role in ('user', 'admin', 'super_admin')),
  email text not null unique,
  full_name text
);
alter table profiles enable row level security;
create policy "own profile" on profiles for select using (id = current_setting('app.user', true)::uuid);
create table clients (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  company_name text not null,
  tax_number text,
  is_active boolean not null default true,
  credit_limit numeric not null default 0 check (credit_limit >= 0),
  balance numeric not null default 0,
  account_manager uuid references profiles (id)
);
create table contacts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  client_id uuid references clients (id) on delete cascade,
  first_name text not null, last_name text not null, email text, title text,
  is_primary boolean default false, linkedin text
);
create table products (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  sku text not null, name text not null,
  price numeric not null, min_price numeric, max_price numeric,
  unique (tenant_id, sku)
);
create table orders (
  id uuid primary key default gen_random_uuid(),
  order_number bigint generated always as identity unique,
  tenant_id uuid not null references tenants (id) on delete cascade,
  client_id uuid references clients (id),
  product_id uuid references products (id),
  stage order_stage not null default 'draft',
  status text not null default 'new',
  fee_amount numeric, total_amount numeric, tech_fee numeric, payment_method text,
  property_address text, property_city text, property_state text, property_zip text,
  borrower_name text, borrower_email text, borrower_phone text,
  property_contact_name text, property_contact_phone text,
  internal_notes text,
  created_at timestamptz not null default now(),
  check (total_amount is null or total_amount >= 0)
);
create table kanban_cards (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  client_id uuid, contact_id uuid, type text not null, title text not null, description text, rationale text,
  priority text default 'medium', state text default 'suggested', action_payload jsonb, due_at timestamptz,
  lane int not null default 0, created_at timestamptz default now()
);
create table email_suppressions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  contact_id uuid, email text, reason text, bounce_type text, provider_message_id text, created_at timestamptz default now()
);

create table agent_autonomous_runs (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  cycle_number integer not null,
  started_at timestamptz not null default now(),
  completed_at timestamptz,
  phase text default 'plan',
  status text not null default 'running' check (status in ('running', 'completed', 'failed')),
  actions_planned int default 0,
  actions_executed int default 0,
  actions_blocked int default 0,
  emails_sent int default 0,
  error_message text,
  duration_ms int,
  cron_host text,
  created_at timestamptz default now()
);
create index idx_autonomous_runs_tenant_started on agent_autonomous_runs (tenant_id, started_at);
create index runs_by_host on agent_autonomous_runs (cron_host) where cron_host is not null;
alter table agent_autonomous_runs enable row level security;
create policy tenant_isolation on agent_autonomous_runs using (true);
create policy "support reads all" on agent_autonomous_runs for select using (current_setting('app.support', true) = 'on');

create table agent_tenant_locks (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null unique references tenants (id) on delete cascade,
  run_id uuid references agent_autonomous_runs (id) on delete set null,
  locked_at timestamptz default now(),
  expires_at timestamptz not null,
  lock_holder varchar(80)
);
create table engagement_clocks (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  client_id uuid references clients (id) on delete cascade,
  contact_id uuid references contacts (id) on delete cascade,
  last_touch_at timestamptz, last_touch_type text, last_touch_by uuid references profiles (id),
  next_touch_due timestamptz,
  engagement_interval_days int default 21,
  is_compliant boolean not null default true,
  days_overdue int not null default 0,
  priority_score numeric(5, 2) default 0,
  created_at timestamptz default now(), updated_at timestamptz default now()
);
create unique index idx_engagement_clocks_client on engagement_clocks (tenant_id, client_id) where client_id is not null;
create index idx_engagement_clocks_tenant_overdue on engagement_clocks (tenant_id, is_compliant, days_overdue desc);
create view overdue_clients with (security_invoker = true) as
  select c.company_name, e.days_overdue from engagement_clocks e join clients c on c.id = e.client_id where not e.is_compliant;
create view worst_client as select company_name from overdue_clients order by days_overdue desc limit 1;

create table agent_policy_violations (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  run_id uuid references agent_autonomous_runs (id) on delete set null,
  violation_type text not null, action_type text, action_data json, reason text,
  blocked boolean default true, created_at timestamptz default now()
);
create table order_processing_queue (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  order_id uuid not null unique references orders (id) on delete cascade,
  status text not null default 'pending' check (status in ('pending', 'processing', 'validated', 'exception')),
  queued_at timestamptz default now(), processed_at timestamptz,
  pricing_valid boolean, credit_valid boolean, requirements_valid boolean,
  auto_fixes jsonb default '[]'
);
create table order_processing_exceptions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  order_id uuid not null references orders (id),
  queue_id uuid references order_processing_queue (id),
  exception_type text not null, severity text default 'warning', message text, details jsonb,
  resolved boolean default false, resolved_at timestamptz, resolved_by uuid references profiles (id),
  created_at timestamptz default now()
);
create table agent_hourly_reflections (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  run_id uuid references agent_autonomous_runs (id) on delete cascade,
  summary text, changes jsonb, metrics_delta jsonb, blockers jsonb, insights jsonb, next_hour_priorities jsonb,
  created_at timestamptz default now()
);
create table agent_rate_limits (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  action_type text not null, window_start timestamptz not null, window_end timestamptz not null, action_count int default 0
);
create table agent_alerts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  alert_type text not null, severity text not null, message text, metadata jsonb,
  acknowledged boolean default false, acknowledged_at timestamptz, created_at timestamptz default now(),
  channel text not null
);
create table email_provider_failures (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  error_type text not null, error_message text, provider text default 'resend', created_at timestamptz default now()
);
create table system_config (key text primary key, value jsonb not null, updated_at timestamptz default now());
alter table system_config enable row level security;

-- The same names with other parameters, another result, other defaults.
create function acquire_tenant_lock(p_tenant_id uuid, p_holder text) returns boolean language sql as 'select true';
create function release_tenant_lock(p_tenant_id uuid) returns void language sql as '';
create function extend_tenant_lock(p_tenant uuid, p_minutes int default 15) returns void language sql as '';
create function check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed int default 5)
  returns boolean language sql as 'select true';
create function get_engagement_violations(p_tenant_id uuid) returns setof engagement_clocks language sql
  as 'select * from public.engagement_clocks where tenant_id = p_tenant_id';
grant execute on function acquire_tenant_lock(uuid, text) to public;

insert into tenants (id, name, slug, billing_email) values
  ('10000000-0000-4000-8000-000000000001', 'Acme Lending', 'acme', 'a@acme.test'),
  ('10000000-0000-4000-8000-000000000002', 'Best Loans', 'best', 'b@best.test');
insert into profiles values
  ('20000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'admin', 'p@acme.test', 'Pat'),
  ('20000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', 'user', 'q@best.test', 'Quin');
insert into clients (id, tenant_id, company_name, tax_number) values
  ('30000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'Client One', 'T1'),
  ('30000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', 'Client Two', 'T2');
insert into contacts (id, tenant_id, client_id, first_name, last_name, linkedin) values
  ('40000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000001', 'Ann', 'Ash', 'ann'),
  ('40000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000002', 'Ben', 'Bay', 'ben');
insert into orders (id, tenant_id, client_id, fee_amount, total_amount, internal_notes) values
  ('50000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000001', 10, 20, 'call first'),
  ('50000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000002', 10, 20, null);
insert into agent_autonomous_runs (id, tenant_id, cycle_number, started_at, completed_at, status, phase, duration_ms, cron_host, created_at)
  select ('6b000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '10000000-0000-4000-8000-000000000001', n, now() - n * interval '1 hour', now(), 'completed', 'reflect', 100, 'cron-1',
         now() - n * interval '1 hour'
    from generate_series(1, 200) n;
insert into agent_autonomous_runs (id, tenant_id, cycle_number, status, cron_host) values
  ('60000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000002', 7, 'running', 'cron-2');
insert into agent_tenant_locks (tenant_id, run_id, expires_at, lock_holder) values
  ('10000000-0000-4000-8000-000000000002', '60000000-0000-4000-8000-000000000001', now() + interval '10 minutes', 'cron-2');
insert into engagement_clocks (tenant_id, client_id, last_touch_at, next_touch_due, engagement_interval_days, is_compliant, days_overdue) values
  ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000001', now() - interval '40 days', now() - interval '10 days', 30, true, 0),
  ('10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000002', now(), now() + interval '5 days', 5, false, 3);
insert into agent_policy_violations (tenant_id, run_id, violation_type, action_data, reason) values
  ('10000000-0000-4000-8000-000000000002', '60000000-0000-4000-8000-000000000001', 'rate_limit', '{"to": "x"}', null);
insert into order_processing_queue (id, tenant_id, order_id) values
  ('70000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', '50000000-0000-4000-8000-000000000001');
insert into order_processing_exceptions (tenant_id, order_id, queue_id, exception_type, message) values
  ('10000000-0000-4000-8000-000000000001', '50000000-0000-4000-8000-000000000001', '70000000-0000-4000-8000-000000000001', 'pricing', 'old');
insert into agent_hourly_reflections (tenant_id, run_id, summary) values
  ('10000000-0000-4000-8000-000000000002', '60000000-0000-4000-8000-000000000001', 'A quiet hour, "mostly"');
insert into agent_rate_limits (tenant_id, action_type, window_start, window_end, action_count)
  select '10000000-0000-4000-8000-000000000001', 'email_send', '2026-01-01 10:00Z', '2026-01-01 11:00Z', n from generate_series(1, 3) n;
insert into agent_alerts (tenant_id, alert_type, severity, message, channel) values
  ('10000000-0000-4000-8000-000000000001', 'failure_rate', 'high', 'an older name of a severity', 'slack');
insert into email_provider_failures (tenant_id, error_type, created_at)
  select '10000000-0000-4000-8000-000000000001', '5xx', now() - n * interval '1 day' from generate_series(0, 60) n;
insert into system_config (key, value) values ('agent_config', '{"global_enabled": true}'), ('theme', '"dark"');
