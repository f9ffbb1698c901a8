-- A tenant's events in flight are a list of a few kilobytes, overwritten at every claim: compressing it would
-- cost more than the claim itself. Lists that do not fit in a page are still stored outside the row.
alter table reactor.in_flight set (toast_tuple_target = 8160);
