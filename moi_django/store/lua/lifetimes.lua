-- How long keys are kept that many writes share: about as long as what was written last.

-- Renew keys that are all written together with the first one. They get somewhat more than their
-- lifetime, so that as long as it has this left the next writes need not renew them.
local function renew_together(keys, lifetime)
  if redis.call('PTTL', keys[1]) >= lifetime * 1000 then return end
  local longer = math.ceil(lifetime * 1.02)
  for _, key in ipairs(keys) do redis.call('EXPIRE', key, longer) end
end

-- Renew the groups above a job, of which each has four keys: see create.lua. All have their totals
-- once there is a job below.
local function renew_ancestors(ancestors_keys, lifetime)
  for i = 1, #ancestors_keys, 4 do
    local info, members, totals, order = unpack(ancestors_keys, i, i + 3)
    renew_together({totals, order, members, info}, lifetime)
  end
end
