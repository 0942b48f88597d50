-- Return for each attempt why it may not begin, whatever engines are free; empty if it may.
-- ARGS: prefix lifetime members...
-- USES: lifetimes queue

local holds = {}
for number, member in ipairs(members) do
  local queue, owner, limit = lane_of(member)
  holds[number] = queue and hold_of(queue, owner, limit) or ''
end
return holds
