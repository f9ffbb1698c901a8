-- How often a tenant did what within an hour; written by check_and_increment_rate_limit().

-- An older table without the unique key may count one window in several rows: their sum counts.
do $$
begin
  if to_regclass('public.agent_rate_limits') is not null then
    with merged as (
      select (array_agg(r.id order by r.id))[1] as id, sum(r.action_count) as total
        from public.agent_rate_limits r
       group by r.tenant_id, r.action_type, r.window_start having count(*) > 1
    ), kept as (
      update public.agent_rate_limits r set action_count = m.total from merged m where r.id = m.id
      returning r.id, r.tenant_id, r.action_type, r.window_start
    )
    delete from public.agent_rate_limits r using kept k
     where r.tenant_id = k.tenant_id and r.action_type = k.action_type and r.window_start = k.window_start and r.id <> k.id;
  end if;
end
$$;

-- action_count is in no index: with room on the page, counting touches no index at all.
create table reactor_blueprint.agent_rate_limits (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  action_type text not null,
  window_start timestamptz not null,
  window_end timestamptz,
  action_count integer not null default 0,
  unique (tenant_id, action_type, window_start)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create index idx_rate_limits_tenant_type on reactor_blueprint.agent_rate_limits (tenant_id, action_type, window_start desc);
create index idx_rate_limits_cleanup on reactor_blueprint.agent_rate_limits (window_start);

select reactor.adopt_table('agent_rate_limits');
select reactor.isolate('public.agent_rate_limits');
