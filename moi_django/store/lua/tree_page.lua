-- Read the beginning of a tree: a group, and the first members of each group below it.
-- KEYS: info
-- ARGS: root prefix rows limit wanted...
--
-- `wanted` are ids of groups, each followed by the number of its members that is wanted, for others it
-- is `rows`. Returns {group, id, info, size, totals} for each member of a group, the upper levels
-- first, and {group, id} where it has come before; no more than `limit` infos. The info is empty when
-- there is none, and the id when the order of a group has to be repaired.

local wanted_of = {}
for i = 1, #wanted, 2 do wanted_of[wanted[i]] = tonumber(wanted[i + 1]) end
local found, known, room = {}, {}, tonumber(limit)

-- Read one member; return what is needed of it as a group.
local function read(group, id, key)
  -- Not GET, for which what is no string is an error.
  local text = redis.call('MGET', key)[1] or ''
  local size = redis.call('SCARD', key .. ':jobs')
  found[#found + 1] = {group, id, text, size, redis.call('HGETALL', key .. ':totals')}
  known[id] = true
  room = room - 1
  -- A root group is read from its newest member on. A job may be long and is not searched.
  local is_root = size > 0 and string.find(text, '"parent"%s*:%s*null')
  return {id = id, size = size, range = is_root and 'ZREVRANGE' or 'ZRANGE'}
end

local level = {read('', root, info_key)}
while #level > 0 do
  local left, below = room, {}
  for _, group in ipairs(level) do
    local order = prefix .. group.id .. ':order'
    local count = math.min(wanted_of[group.id] or tonumber(rows), group.size, left)
    if count > 0 then
      left = left - count
      if redis.call('ZCARD', order) ~= group.size then found[#found + 1] = {group.id, ''} end
      for _, id in ipairs(redis.call(group.range, order, 0, count - 1)) do
        if known[id] then
          found[#found + 1] = {group.id, id}
        else
          below[#below + 1] = read(group.id, id, prefix .. id)
        end
      end
    end
  end
  level = below
end
return found
