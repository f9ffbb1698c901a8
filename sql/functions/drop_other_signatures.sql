-- Called before each of the contract's functions is made: an adopted database may have one of that name
-- with other parameters, which would stay beside ours and be called by mistake, or with the same ones but
-- other names, defaults or result, which CREATE OR REPLACE refuses to change.
--
-- p_keep lists what to leave, as 'argument list → result' in the words of pg_get_function_arguments() and
-- pg_get_function_result(). What an older one depends on is none of our business; what depends on an older
-- one stops the migration with PostgreSQL's own message, which names it.
create or replace function reactor.drop_other_signatures(p_name name, p_keep text[]) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_routine regprocedure;
begin
  for v_routine in
    select p.oid::regprocedure from pg_catalog.pg_proc p
     where p.pronamespace = 'public'::regnamespace and p.proname = p_name
       and (p.prokind <> 'f'
            or format('%s → %s', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) <> all (p_keep))
  loop
    execute format('drop routine %s', v_routine);
  end loop;
end
$$;
revoke all on function reactor.drop_other_signatures(name, text[]) from public;
