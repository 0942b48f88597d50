"""The atomic writes, in Lua: each checks, writes, counts and publishes in one step.

A writer hands in the JSON it has read; when the key holds something else by now, nothing is done.
Values pass through as opaque strings: Lua's cjson would turn `[]` into `{}` and damage integers
above 2**53. Which keys these are is the store's business.
"""

# "Above" are three keys (info object, members, totals) for each group above, the nearest first.

# KEYS: of the new one, map of users, seal of its group, then above. ARGV: its JSON, seconds to
# live, its id, channel and message to publish, its state or "". Returns 1, or 0 when its group is
# gone or about to go, or -1 when the id is taken.
CREATE = """
local group, live = KEYS[4], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
if group and (redis.call('EXISTS', group) == 0 or redis.call('EXISTS', KEYS[3]) == 1) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', live)
redis.call('EXPIRE', KEYS[2], live)
if group then redis.call('SADD', KEYS[5], ARGV[3]) end
for i = 4, #KEYS, 3 do
  if ARGV[6] ~= '' then redis.call('HINCRBY', KEYS[i + 2], ARGV[6], 1) end
  redis.call('EXPIRE', KEYS[i], live)
  redis.call('EXPIRE', KEYS[i + 1], live)
  redis.call('EXPIRE', KEYS[i + 2], live)
end
if group then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
"""

# KEYS: of the changed one, map of users, then above. ARGV: the JSON the writer has read, the new
# JSON, seconds to live, channel and message to publish, old state, new state. Returns 1, or what
# the key holds when that is not what the writer has read: its JSON, or nil.
CHANGE = """
local present = redis.call('GET', KEYS[1])
if present ~= ARGV[1] then return present end
local live = ARGV[3]
redis.call('SET', KEYS[1], ARGV[2], 'EX', live)
redis.call('EXPIRE', KEYS[2], live)
for i = 3, #KEYS, 3 do
  if ARGV[6] ~= ARGV[7] then
    redis.call('HINCRBY', KEYS[i + 2], ARGV[6], -1)
    redis.call('HINCRBY', KEYS[i + 2], ARGV[7], 1)
  end
  redis.call('EXPIRE', KEYS[i], live)
  redis.call('EXPIRE', KEYS[i + 1], live)
  redis.call('EXPIRE', KEYS[i + 2], live)
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
"""

# KEYS: of the removed one, its members, its totals, its seal, then above. ARGV: the JSON the writer
# has read, its id, its channel, its group's channel, message, its state or "". Returns 1, or 0 when
# members are left in it, or what the key holds when that is not what was read.
REMOVE = """
local present = redis.call('GET', KEYS[1])
if present ~= ARGV[1] then return present end
if redis.call('SCARD', KEYS[2]) > 0 then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
for i = 5, #KEYS, 3 do
  if i == 5 then redis.call('SREM', KEYS[6], ARGV[2]) end
  if ARGV[6] ~= '' then redis.call('HINCRBY', KEYS[i + 2], ARGV[6], -1) end
end
redis.call('PUBLISH', ARGV[3], ARGV[5])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
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

# KEYS: members of a group, the group, its seal. ARGV: id, channel, message, seconds to live.
# Returns 1 when that changed something, or -1 when there is no such group or it is about to go.
ATTACH = """
if redis.call('EXISTS', KEYS[2]) == 0 or redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local changed = redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
if changed == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return changed
"""
# The same, whatever there is of the group.
DETACH = """
local changed = redis.call('SREM', KEYS[1], ARGV[1])
if changed == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return changed
"""
