-- What to say when rows that were to be written were not, although nothing failed: a trigger of the application's that
-- returns null before a row is written, or a rule, has the write left out in silence. Names those of the table.
-- p_operation: insert, update or delete, or 'insert or update'. Called by whoever counted.
create or replace function reactor.skipped(p_table regclass, p_operation text) returns text
language sql stable set search_path = ''
begin atomic
    with found as (
        select 'trigger ' || pg_catalog.quote_ident(t.tgname) as name
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_proc p on p.oid = t.tgfoid
        -- Bits of pg_trigger.tgtype: for each row, before, and the operation.
        where t.tgrelid = p_table and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 3 = 3
            and (p_operation like '%insert%' and t.tgtype & 4 <> 0
                or p_operation like '%delete%' and t.tgtype & 8 <> 0
                or p_operation like '%update%' and t.tgtype & 16 <> 0)
            and p.pronamespace <> 'reactor'::regnamespace
        union all
        select 'rule ' || pg_catalog.quote_ident(r.rulename)
        from pg_catalog.pg_rewrite r
        where r.ev_class = p_table and r.ev_enabled <> 'D' and r.is_instead
            and (p_operation like '%insert%' and r.ev_type = '3'
                or p_operation like '%delete%' and r.ev_type = '4'
                or p_operation like '%update%' and r.ev_type = '2')
    )
    select pg_catalog.format(
        '%s: rows that were to be written (%s) were left out without an error, by %s',
        (select n.nspname || '.' || c.relname from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table),
        p_operation,
        coalesce((select pg_catalog.string_agg(f.name, ' or ' order by f.name) from found f), 'what nobody can name'));
end;

revoke all on function reactor.skipped(regclass, text) from public;
grant execute on function reactor.skipped(regclass, text) to reactor, reactor_handler, service_role, authenticated;
