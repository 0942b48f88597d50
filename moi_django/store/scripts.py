"""The atomic writes, in Lua: each checks, writes, counts and publishes in one step.

A writer hands in the JSON it has read; when the key holds something else by now, nothing is done.
Values pass through as opaque strings: Lua's cjson would turn `[]` into `{}` and damage integers
above 2**53. Which keys these are is the store's business.
"""

from moi_django.models import State

# Seconds for which is counted what has ended in a minute.
COUNTED = 90_000

# Goes before CREATE, CHANGE and REMOVE: the indices of the jobs of all users, and the counts of
# what has ended. The index of a state has the name of that of all, and the state behind it.
ALL = f"""
local function enter(all, tree, id, created, old, new, live)
  if old ~= new then redis.call('ZREM', all .. ':' .. old, id) end
  for _, index in ipairs({{all, tree, all .. ':' .. new}}) do
    redis.call('ZADD', index, created, id)
    redis.call('EXPIRE', index, live)
  end
end
local function leave(all, tree, id, states)
  redis.call('ZREM', all, id)
  redis.call('ZREM', tree, id)
  for state in string.gmatch(states, '%a+') do redis.call('ZREM', all .. ':' .. state, id) end
end
local function sweep(all, tree, prefix)
  for _, index in ipairs({{all, tree}}) do
    for _, id in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
      if redis.call('EXISTS', prefix .. id) == 0 then leave(all, tree, id, '{" ".join(State)}') end
    end
  end
end
local function count(ended, state, ran, waited)
  local minute = ended .. ':' .. math.floor(redis.call('TIME')[1] / 60)
  redis.call('HINCRBY', minute, state .. ':jobs', 1)
  redis.call('HINCRBYFLOAT', minute, state .. ':ran', ran)
  redis.call('HINCRBYFLOAT', minute, state .. ':waited', waited)
  redis.call('EXPIRE', minute, {COUNTED})
end
"""

# "Above" are four keys (info object, members, totals, order) for each group above, the nearest
# first.

# KEYS: of the new one, map of users, seal of its group, its payload, where it waits, indices of all
# jobs and of its owner's, what has ended, then above. ARGV: its JSON, seconds to live, its id,
# channel and message to publish, its state or "", its member in the zsets, its payload or "", when
# it was created, the key prefix, seconds that it ran or "" when it has no end, seconds that it has
# waited. Returns the time, or "gone" when there is no such group or it is about to go, or "taken"
# when the id is.
CREATE = """
local group, live = KEYS[9], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 1 then return 'taken' end
if group and (redis.call('EXISTS', group) == 0 or redis.call('EXISTS', KEYS[3]) == 1) then
  return 'gone'
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('SET', KEYS[1], ARGV[1], 'EX', live)
redis.call('EXPIRE', KEYS[2], live)
if ARGV[8] ~= '' then
  redis.call('SET', KEYS[4], ARGV[8], 'EX', live)
  redis.call('ZADD', KEYS[5], now, ARGV[7])
  redis.call('EXPIRE', KEYS[5], live)
end
if group then
  redis.call('SADD', KEYS[10], ARGV[3])
  redis.call('ZADD', KEYS[12], ARGV[9], ARGV[3])
end
for i = 9, #KEYS, 4 do
  if ARGV[6] ~= '' then redis.call('HINCRBY', KEYS[i + 2], ARGV[6], 1) end
  for j = i, i + 3 do redis.call('EXPIRE', KEYS[j], live) end
end
if ARGV[6] ~= '' then
  sweep(KEYS[6], KEYS[7], ARGV[10])
  enter(KEYS[6], KEYS[7], ARGV[3], ARGV[9], ARGV[6], ARGV[6], live)
  if ARGV[11] ~= '' then count(KEYS[8], ARGV[6], ARGV[11], ARGV[12]) end
  redis.call('PUBLISH', KEYS[6], '')
end
if group then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return string.format('%.17g', now)
"""

# "Own" are the four keys of a job besides its info object: payload, log, display, files.

# KEYS: of the changed one, map of users, own, the three zsets, indices of all jobs and of its
# owner's, what has ended, then above. ARGV: the JSON the writer has read, the new JSON, seconds to
# live, channel and message to publish, as what it counted and counts, old member, new member, 1 to
# 3 for the zset it belongs in from now on or 0 for none or "" to leave that as it is, seconds from
# now for it, the length from which on the payload is dropped or "" to keep it, its id, when it was
# created, seconds that it ran or "" when this is not its end, seconds that it has waited. Returns
# 1, or what the key holds when that is not what the writer has read: its JSON, or nil.
CHANGE = """
local present = redis.call('GET', KEYS[1])
if present ~= ARGV[1] then return present end
local live = ARGV[3]
redis.call('SET', KEYS[1], ARGV[2], 'EX', live)
redis.call('EXPIRE', KEYS[2], live)
for i = 3, 6 do redis.call('EXPIRE', KEYS[i], live) end
if ARGV[12] ~= '' and redis.call('STRLEN', KEYS[3]) > tonumber(ARGV[12]) then
  redis.call('DEL', KEYS[3])
end
if ARGV[10] ~= '' then
  local target = tonumber(ARGV[10])
  for i = 1, 3 do
    if i ~= target or ARGV[8] ~= ARGV[9] then redis.call('ZREM', KEYS[i + 6], ARGV[8]) end
  end
  if target > 0 then
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[target + 6], time[1] + time[2] / 1000000 + ARGV[11], ARGV[9])
    redis.call('EXPIRE', KEYS[target + 6], live)
  end
end
if ARGV[7] ~= '' then
  -- One that was retried stays in the index of its state.
  if ARGV[7] ~= 'retried' then
    enter(KEYS[10], KEYS[11], ARGV[13], ARGV[14], ARGV[6], ARGV[7], live)
  end
  if ARGV[15] ~= '' then count(KEYS[12], ARGV[7], ARGV[15], ARGV[16]) end
  redis.call('PUBLISH', KEYS[10], '')
end
for i = 13, #KEYS, 4 do
  if ARGV[6] ~= ARGV[7] then
    redis.call('HINCRBY', KEYS[i + 2], ARGV[6], -1)
    redis.call('HINCRBY', KEYS[i + 2], ARGV[7], 1)
  end
  for j = i, i + 3 do redis.call('EXPIRE', KEYS[j], live) end
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
"""

# KEYS: of the removed one, its members, its totals, its seal, its order, own, the three zsets,
# indices of all jobs and of its owner's, then above. ARGV: the JSON the writer has read, its id,
# its channel, its group's channel, message, as what it counts or "", its member in the zsets, its
# state. Returns 1, or 0 when members are left in it, or what the key holds when that is not what
# was read.
REMOVE = """
local present = redis.call('GET', KEYS[1])
if present ~= ARGV[1] then return present end
if redis.call('SCARD', KEYS[2]) > 0 then return 0 end
for i = 1, 9 do redis.call('DEL', KEYS[i]) end
for i = 10, 12 do redis.call('ZREM', KEYS[i], ARGV[7]) end
if ARGV[6] ~= '' then
  leave(KEYS[13], KEYS[14], ARGV[2], ARGV[8])
  redis.call('PUBLISH', KEYS[13], '')
end
for i = 15, #KEYS, 4 do
  if i == 15 then
    redis.call('SREM', KEYS[16], ARGV[2])
    redis.call('ZREM', KEYS[18], ARGV[2])
  end
  if ARGV[6] ~= '' then redis.call('HINCRBY', KEYS[i + 2], ARGV[6], -1) end
end
redis.call('PUBLISH', ARGV[3], ARGV[5])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
"""

# KEYS: running, a job, own, then above. ARGV: member, seconds of a lease, seconds to live.
# Returns 1, or 0 when this run is not wanted any more.
RENEW = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] + time[2] / 1000000 + ARGV[2], ARGV[1])
for i = 1, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
return 1
"""

# KEYS: the zset a run is in, the one where it will wait. ARGV: member, score that was read, seconds
# to live. Returns the time, which is its new score, or nil when it has another score by now.
CLAIM = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return nil end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return string.format('%.17g', now)
"""

# KEYS: how far a scheduler has come. ARGV: a time, seconds to live. Keeps the later of the two.
ARRIVE = """
local latest = redis.call('GET', KEYS[1])
if not latest or tonumber(latest) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
"""

# KEYS: map of users. ARGV: user, fresh group id, seconds to live. Returns the user's group id.
ENROL = """
local group = redis.call('HGET', KEYS[1], ARGV[1])
if not group then
  group = ARGV[2]
  redis.call('HSET', KEYS[1], ARGV[1], group, group, ARGV[1])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return group
"""

# KEYS: members of a group, the group, its seal, its order. ARGV: id, channel, message, seconds to
# live, when what has the id was created. Returns 1 when that changed something, or -1 when there is
# no such group or it is about to go.
ATTACH = """
if redis.call('EXISTS', KEYS[2]) == 0 or redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local changed = redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[4], ARGV[4])
if changed == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return changed
"""
# The same, whatever there is of the group.
DETACH = """
local changed = redis.call('SREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
if changed == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return changed
"""
