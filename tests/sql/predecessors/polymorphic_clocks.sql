-- An older generation: clocks that point at anything by entity_type and entity_id, times without a zone,
-- statuses as enums, names of limited length; and only some of the agent's tables.
create table tenants (id uuid primary key, name varchar(100) not null, is_active boolean not null default true);
create table profiles (id uuid primary key, tenant_id uuid references tenants (id) on delete cascade, role text, email text);
create table clients (
  id uuid primary key, tenant_id uuid not null references tenants (id) on delete cascade, company_name text not null,
  is_active boolean default true, credit_limit numeric, balance numeric, founded int
);
create table contacts (
  id uuid primary key, tenant_id uuid not null references tenants (id) on delete cascade, client_id uuid references clients (id),
  first_name text, last_name text, email text, title text, is_primary boolean
);
create table orders (
  id uuid primary key, tenant_id uuid not null references tenants (id) on delete cascade, client_id uuid, product_id uuid,
  status text, fee_amount numeric, total_amount numeric, tech_fee numeric, payment_method text,
  property_address text, property_city text, property_state text, property_zip text,
  borrower_name text, borrower_email text, borrower_phone text, property_contact_name text, property_contact_phone text,
  created_at timestamptz
);

create type touch_target as enum ('client', 'account', 'contact', 'lead');
create table engagement_clocks (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references tenants (id) on delete cascade,
  entity_type touch_target not null,
  entity_id uuid not null,
  last_touch_at timestamp without time zone,
  next_touch_due timestamp without time zone not null,
  touch_frequency_days int not null default 14,
  is_compliant boolean default true,
  days_overdue int default 0,
  mood text,
  created_at timestamp without time zone default (now() at time zone 'UTC'),
  unique (tenant_id, entity_type, entity_id)
);
create index clocks_by_entity on engagement_clocks (entity_id);
create view late_clocks as select id, entity_id, days_overdue from engagement_clocks where not is_compliant;
create materialized view moods as select mood, count(*) as clocks, min(touch_frequency_days) as often from engagement_clocks group by mood;
create unique index moods_mood on moods (mood);

create type run_status as enum ('running', 'completed', 'failed', 'aborted');
create table agent_autonomous_runs (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  status run_status not null default 'running',
  started_at timestamp without time zone,
  notes text not null,
  batch_no serial
);
create table order_processing_queue (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references tenants (id),
  order_id uuid,
  status varchar(20) default 'pending',
  queued_at timestamp without time zone default (now() at time zone 'UTC'),
  auto_fixes text
);
create table audit_of_runs (
  id bigserial primary key,
  run_id uuid not null references agent_autonomous_runs (id) on delete cascade,
  remark text
);

insert into tenants values ('11000000-0000-4000-8000-000000000001', 'One', true), ('11000000-0000-4000-8000-000000000002', 'Two', false);
insert into clients (id, tenant_id, company_name, founded) values
  ('31000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001', 'Client', 1999),
  ('31000000-0000-4000-8000-000000000002', '11000000-0000-4000-8000-000000000001', 'Account', 2001);
insert into contacts (id, tenant_id, client_id) values
  ('41000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001', '31000000-0000-4000-8000-000000000001');
insert into orders (id, tenant_id) values ('51000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001');
insert into engagement_clocks (id, tenant_id, entity_type, entity_id, last_touch_at, next_touch_due, touch_frequency_days, mood) values
  ('81000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001', 'client', '31000000-0000-4000-8000-000000000001', '2026-01-02 03:04', '2026-01-16 03:04', 14, 'warm'),
  ('81000000-0000-4000-8000-000000000002', '11000000-0000-4000-8000-000000000001', 'account', '31000000-0000-4000-8000-000000000001', '2026-02-02 03:04', '2026-02-09 03:04', 7, 'cold'),
  ('81000000-0000-4000-8000-000000000003', '11000000-0000-4000-8000-000000000001', 'account', '31000000-0000-4000-8000-000000000002', null, '2099-01-01', 30, null),
  ('81000000-0000-4000-8000-000000000004', '11000000-0000-4000-8000-000000000001', 'contact', '41000000-0000-4000-8000-000000000001', '2026-03-03', '2026-03-17', 14, 'warm'),
  ('81000000-0000-4000-8000-000000000005', '11000000-0000-4000-8000-000000000001', 'contact', '41000000-0000-4000-8000-00000000dead', null, '2026-03-17', 14, 'gone'),
  ('81000000-0000-4000-8000-000000000006', '11000000-0000-4000-8000-000000000001', 'lead', '41000000-0000-4000-8000-000000000001', null, '2026-03-17', 14, 'a lead');
insert into agent_autonomous_runs (id, tenant_id, status, started_at, notes) values
  ('61000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001', 'completed', '2026-01-02 03:04', 'first'),
  ('61000000-0000-4000-8000-000000000002', '11000000-0000-4000-8000-000000000001', 'aborted', null, 'an older word for failed');
insert into audit_of_runs (run_id, remark) values ('61000000-0000-4000-8000-000000000001', 'kept for the auditor');
insert into order_processing_queue (id, tenant_id, order_id, auto_fixes) values
  ('71000000-0000-4000-8000-000000000001', '11000000-0000-4000-8000-000000000001', '51000000-0000-4000-8000-000000000001', '[{"field": "total_amount"}]'),
  ('71000000-0000-4000-8000-000000000002', '11000000-0000-4000-8000-000000000001', '51000000-0000-4000-8000-00000000dead', '[]');
refresh materialized view moods;
