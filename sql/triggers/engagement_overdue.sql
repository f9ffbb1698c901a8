-- engagement.overdue: a clock goes from compliant to overdue, by the deadline timer, or by an insert or
-- update with a deadline in the past. Of many updated at once each is paired with its own past: see reactor.watch().
select reactor.watch(
    'public.engagement_clocks', 'engagement.overdue', '{insert,update of is_compliant}',
    condition => 'not new.is_compliant');
