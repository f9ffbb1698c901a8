-- engagement.overdue: a clock goes from compliant to overdue, by the deadline timer, or by an insert or
-- update with a deadline in the past.
select reactor.watch(
    'public.engagement_clocks', 'engagement.overdue', '{insert,update of is_compliant}',
    condition => 'not new.is_compliant');
