-- How long since somebody was last in touch with a client or a contact, and by when somebody must be.

-- is_compliant and days_overdue cannot be generated from now(); evaluated_at says as of when a row was
-- judged, and moving it is the overdue transition.
create table reactor_blueprint.engagement_clocks (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  client_id uuid references public.clients (id) on delete cascade,
  contact_id uuid references public.contacts (id) on delete cascade,
  last_touch_at timestamptz,
  last_touch_type text,
  last_touch_by uuid references public.profiles (id) on delete set null,
  next_touch_due timestamptz,
  engagement_interval_days integer not null default 21,
  evaluated_at timestamptz not null default now(),
  is_compliant boolean generated always as (coalesce(next_touch_due > evaluated_at, true)) stored,
  days_overdue integer generated always as
    (coalesce(greatest(floor(extract(epoch from evaluated_at - next_touch_due) / 86400), 0), 0)::integer) stored,
  priority_score numeric(5, 2) not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint engagement_clocks_party_check check (client_id is not null or contact_id is not null)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

create unique index idx_engagement_clocks_client on reactor_blueprint.engagement_clocks (tenant_id, client_id) where client_id is not null;
create unique index idx_engagement_clocks_contact on reactor_blueprint.engagement_clocks (tenant_id, contact_id) where contact_id is not null;
create index idx_engagement_clocks_tenant_overdue on reactor_blueprint.engagement_clocks (tenant_id, is_compliant, days_overdue desc);
create index idx_engagement_clocks_tenant_due on reactor_blueprint.engagement_clocks (tenant_id, next_touch_due);
create index idx_engagement_clocks_priority on reactor_blueprint.engagement_clocks (tenant_id, is_compliant, priority_score desc);

-- Ours. The deadline timer: the nearest deadline, and what is due, whatever the tenant.
create index idx_engagement_clocks_due on reactor_blueprint.engagement_clocks (next_touch_due) where is_compliant;
-- Ours. The daily re-evaluation: overdue clocks in the order in which they were last judged.
create index idx_engagement_clocks_evaluated on reactor_blueprint.engagement_clocks (evaluated_at) where not is_compliant;
-- Ours. Deleting a client, contact or person must find its clocks.
create index idx_engagement_clocks_by_client on reactor_blueprint.engagement_clocks (client_id) where client_id is not null;
create index idx_engagement_clocks_by_contact on reactor_blueprint.engagement_clocks (contact_id) where contact_id is not null;
create index idx_engagement_clocks_touched_by on reactor_blueprint.engagement_clocks (last_touch_by) where last_touch_by is not null;

-- An older shape says entity_type ('client', 'account', 'contact') and entity_id, without foreign keys. Two
-- clocks of one client ('client' and 'account' both name it) become one.
do $$
declare
  v_has name[];
begin
  if to_regclass('public.engagement_clocks') is null then
    return;
  end if;
  v_has := array(select c.name from reactor.adopt_columns('public.engagement_clocks') c);

  if 'touch_frequency_days' = any (v_has) then
    if 'engagement_interval_days' = any (v_has) then
      perform reactor.adopt_stash_views('public.engagement_clocks');
      update public.engagement_clocks set engagement_interval_days = touch_frequency_days where engagement_interval_days is null;
      alter table public.engagement_clocks drop column touch_frequency_days;
    else
      alter table public.engagement_clocks rename column touch_frequency_days to engagement_interval_days;
    end if;
  end if;

  if v_has @> '{entity_type,entity_id}'::name[] then
    perform reactor.adopt_stash_views('public.engagement_clocks');
    alter table public.engagement_clocks add column if not exists client_id uuid;
    alter table public.engagement_clocks add column if not exists contact_id uuid;
    update public.engagement_clocks e set client_id = c.id
      from public.clients c
     where e.client_id is null and lower(e.entity_type::text) in ('client', 'account') and c.id::text = e.entity_id::text;
    update public.engagement_clocks e set contact_id = c.id
      from public.contacts c
     where e.contact_id is null and lower(e.entity_type::text) = 'contact' and c.id::text = e.entity_id::text;
    perform reactor.adopt_archive('public.engagement_clocks', 't.client_id is null and t.contact_id is null',
                                  'neither a client nor a contact has this entity_id');
    delete from public.engagement_clocks where client_id is null and contact_id is null;
    perform reactor.adopt_distinct('public.engagement_clocks', 'reactor_blueprint.idx_engagement_clocks_client');
    perform reactor.adopt_distinct('public.engagement_clocks', 'reactor_blueprint.idx_engagement_clocks_contact');
    alter table public.engagement_clocks drop column entity_type;
    alter table public.engagement_clocks drop column entity_id;
  end if;
end
$$;

select reactor.adopt_table('engagement_clocks');
select reactor.isolate('public.engagement_clocks');
