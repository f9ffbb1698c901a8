-- The sequences of a table's columns that handlers may not use, and need where they insert. A column's identity needs
-- nothing. Called by reactor.open_sequences() and reactor.outdated_protections().
create or replace function reactor.closed_sequences(p_table regclass) returns setof regclass
language sql stable set search_path = ''
begin atomic
    select s.oid::regclass
    from pg_catalog.pg_depend d
    join pg_catalog.pg_class s on s.oid = d.objid
    where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = p_table
        and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'a'
        and pg_catalog.has_table_privilege('reactor_handler', p_table, 'insert')
        -- An index depends on its table, too, and to ask for the rights in it is an error.
        and case when s.relkind = 'S' then not pg_catalog.has_sequence_privilege('reactor_handler', s.oid, 'usage') end;
end;

revoke all on function reactor.closed_sequences(regclass) from public;
