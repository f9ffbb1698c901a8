-- Somebody wrote the tables from the documentation and then lived with them: time-ordered ids, failures
-- partitioned by created_at, an application role with grants of its own, triggers, and no unique keys.
do $$ begin create role crm_app nologin; exception when duplicate_object then null; end $$;

create table tenants (id uuid primary key, name text, is_active boolean default true, agent_enabled boolean, agent_settings jsonb);
create table profiles (id uuid primary key, tenant_id uuid references tenants (id), role text, email text);
create table clients (
  id uuid primary key, tenant_id uuid references tenants (id), company_name text, is_active boolean, credit_limit numeric, balance numeric
);
grant select, insert, update on tenants, clients to crm_app;

create table agent_autonomous_runs (
  id uuid primary key,
  tenant_id uuid not null references tenants (id),
  cycle_number bigint,
  started_at timestamptz not null default now(),
  completed_at timestamptz,
  phase text check (phase in ('plan', 'act', 'react', 'reflect')),
  status text not null default 'running',
  trigger text,
  duration_ms bigint,
  touched int not null default 0,
  created_at timestamptz not null default now()
);
create unique index one_running on agent_autonomous_runs (tenant_id) where status = 'running';
create index runs_touched on agent_autonomous_runs (touched);
create function count_touch() returns trigger language plpgsql as $$ begin new.touched := old.touched + 1; return new; end $$;
create trigger count_touch before update on agent_autonomous_runs for each row execute function count_touch();
grant select, insert on agent_autonomous_runs to crm_app;
create table run_files (
  name text primary key,
  run_id uuid references agent_autonomous_runs (id)
);

create table agent_tenant_locks (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  run_id uuid references agent_autonomous_runs (id),
  locked_at timestamptz,
  expires_at timestamptz,
  lock_holder text
);
create table email_provider_failures (
  id uuid not null default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  error_type text,
  error_message text,
  provider text,
  created_at timestamptz not null default now(),
  primary key (id, created_at)
) partition by range (created_at);
create table email_provider_failures_all partition of email_provider_failures default;
create table agent_alerts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  alert_type text not null, severity text not null default 'info', message text, metadata jsonb,
  acknowledged boolean not null default false, acknowledged_at timestamptz, acknowledged_by uuid, created_at timestamptz not null default now()
);
create view agent_health_dashboard as select tenant_id, count(*) as runs from agent_autonomous_runs group by tenant_id;
create procedure update_engagement_clock(p_tenant_id uuid) language sql as '';

insert into tenants values ('12000000-0000-4000-8000-000000000001', 'One', true, true, '{"email_mode": "send"}'),
                           ('12000000-0000-4000-8000-000000000002', 'Two', true, null, null);
insert into profiles values ('22000000-0000-4000-8000-000000000001', '12000000-0000-4000-8000-000000000001', 'user', 'x@one.test');
-- Ids of this very hour, as uuidv7() makes them, and of last year.
insert into agent_autonomous_runs (id, tenant_id, cycle_number, started_at, phase, status, trigger, duration_ms)
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7abc8000' || lpad(to_hex(n), 12, '0'))::uuid,
         '12000000-0000-4000-8000-000000000001', n, at, 'act', 'completed', 'cron', 3000000000
    from generate_series(1, 50) n, lateral (select now() - case when n % 2 = 0 then interval '1 year' else interval '1 minute' end as at) a;
insert into run_files select 'file ' || row_number() over (), id from agent_autonomous_runs limit 10;
insert into agent_tenant_locks (tenant_id, run_id, expires_at, lock_holder)
  select '12000000-0000-4000-8000-000000000001', (select id from agent_autonomous_runs limit 1), now() + n * interval '1 minute', 'h' || n
    from generate_series(-1, 2) n;
insert into agent_tenant_locks (tenant_id, expires_at) values ('12000000-0000-4000-8000-00000000dead', now());
insert into email_provider_failures (tenant_id, error_type, created_at)
  select '12000000-0000-4000-8000-000000000001', null, now() - n * interval '3 days' from generate_series(1, 20) n;
insert into agent_alerts (tenant_id, alert_type, acknowledged, acknowledged_by) values
  ('12000000-0000-4000-8000-000000000001', 'old', true, '22000000-0000-4000-8000-000000000001'),
  ('12000000-0000-4000-8000-000000000001', 'older', true, '22000000-0000-4000-8000-00000000dead');
