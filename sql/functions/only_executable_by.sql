-- Called after each of the contract's functions is made: an older one's grants survive CREATE OR REPLACE,
-- and Supabase grants EXECUTE on new functions in public to anon and authenticated by default.
create or replace function reactor.only_executable_by(p_function regprocedure, p_roles name[]) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_grantee text;
begin
  for v_grantee in
    select distinct case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
      from pg_catalog.pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where p.oid = p_function and a.grantee <> p.proowner
  loop
    execute format('revoke all on function %s from %s', p_function, v_grantee);
  end loop;
  execute format('grant execute on function %s to %s', p_function, (select string_agg(quote_ident(r), ', ') from unnest(p_roles) r));
end
$$;
revoke all on function reactor.only_executable_by(regprocedure, name[]) from public;
