-- Before older tables are brought to the contract's shape: what their application says of them where the contract says
-- nothing. 0212 puts it back. Where they were adopted before this file was written, it is gone already.
do $$
begin
  if to_regprocedure('reactor.adopt_reshape(regclass, regclass)') is null
    or to_regclass('reactor.adoption_notes') is not null then
    return;
  end if;
  create table reactor.adoption_notes (
    table_name name not null,
    -- A default, as it was written, and the type of its column; or what the role anon may do.
    column_name name,
    column_type regtype,
    expression text,
    anonymous_may text
  );
  insert into reactor.adoption_notes (table_name, column_name, column_type, expression)
  select c.relname, a.attname, a.atttypid, pg_get_expr(d.adbin, d.adrelid)
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.oid = any (array(select to_regclass('public.' || t.name) from unnest(array[
           'agent_autonomous_runs', 'agent_tenant_locks', 'engagement_clocks', 'agent_policy_violations',
           'order_processing_queue', 'order_processing_exceptions', 'agent_hourly_reflections', 'agent_rate_limits',
           'agent_alerts', 'email_provider_failures']) as t (name)));
  -- Everybody's default privileges let anon in on Supabase, and the migration takes that back. A policy that names
  -- anon is another matter: somebody meant it.
  insert into reactor.adoption_notes (table_name, anonymous_may)
  select distinct c.relname, w.command
    from pg_catalog.pg_class c
    join pg_catalog.pg_policy p on p.polrelid = c.oid
    join pg_catalog.pg_roles r on r.rolname = 'anon' and r.oid = any (p.polroles)
    join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) w (letter, command)
      on p.polcmd in (w.letter::"char", '*')
   where p.polpermissive and c.relrowsecurity and has_table_privilege(r.oid, c.oid, w.command)
     and c.oid = any (array(select to_regclass('public.' || t.name) from unnest(array[
           'agent_autonomous_runs', 'agent_tenant_locks', 'engagement_clocks', 'agent_policy_violations',
           'order_processing_queue', 'order_processing_exceptions', 'agent_hourly_reflections', 'agent_rate_limits',
           'agent_alerts', 'email_provider_failures']) as t (name)));
end
$$;
