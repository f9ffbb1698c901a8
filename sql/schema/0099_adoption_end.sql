-- The tools of 0005 to 0007 have done their work; what they archived stays.
drop function reactor.adopt_table(name, text, int, jsonb);
drop function reactor.adopt_into_partitions(name, text, int, jsonb);
drop function reactor.adopt_json(text);
drop function reactor.adopt_words(regclass, jsonb);
drop function reactor.adopt_bind(regclass, regclass);
drop function reactor.adopt_unbind(regclass, regclass);
drop function reactor.adopt_reshape(regclass, regclass);
drop function reactor.adopt_distinct(regclass, regclass);
drop function reactor.adopt_orphans(regclass, oid);
drop function reactor.adopt_rules(regclass, name[]);
drop function reactor.adopt_columns(regclass);
drop function reactor.adopt_restore_views();
drop function reactor.adopt_stash_views(regclass);
drop function reactor.adopt_archive(regclass, text, text);
drop schema reactor_blueprint;
drop schema reactor_predecessor;
