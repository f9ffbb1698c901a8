-- Triggers of the application run with the rights of whoever writes: for the automations that is reactor_handler, and
-- for the deadline timer reactor or reactor_owner. One that notes who it was calls auth.uid(), which is null for them, and
-- failed in a schema that they might not use. Where the migrating role cannot pass that on, as on Supabase,
-- `reactor doctor` names the functions.
do $$
declare
  v_schema name;
  v_role name;
begin
  foreach v_role in array array['reactor_handler', 'reactor', 'reactor_owner']::name[] loop
    foreach v_schema in array array['auth', 'extensions']::name[] loop
      if to_regnamespace(v_schema::text) is not null
        and not has_schema_privilege(v_role, v_schema, 'usage')
        and has_schema_privilege(v_schema, 'usage with grant option') then
        execute format('grant usage on schema %I to %I', v_schema, v_role);
      end if;
    end loop;
    if not has_function_privilege(v_role, 'auth.uid()', 'execute')
      and has_function_privilege('auth.uid()', 'execute with grant option') then
      execute format('grant execute on function auth.uid() to %I', v_role);
    end if;
  end loop;
end
$$;
