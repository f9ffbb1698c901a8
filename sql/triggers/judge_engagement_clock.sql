--! requires: judge_engagement_clock
create or replace trigger judge_engagement_clock
  before update of next_touch_due on public.engagement_clocks
  for each row
  when (new.next_touch_due is distinct from old.next_touch_due and new.evaluated_at = old.evaluated_at)
  execute function reactor.judge_engagement_clock();
