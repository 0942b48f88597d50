-- How a claim marks a job as running. Its info object is changed as text, since what a user has put
-- into it must not go through cjson: of a queued job each of these fields comes before anything that
-- holds other objects, and in a text each quote has a backslash before it.

local function replace_first(text, pattern, replacement)
  local first, last, found = string.find(text, pattern)
  if not first then return nil end
  return string.sub(text, 1, first - 1) .. replacement(found) .. string.sub(text, last + 1)
end

-- Where the value of a field begins and ends that is a text; nil when there is none.
local function find_text(text, field)
  local _, quote = string.find(text, '"' .. field .. '":"', 1, true)
  local from = quote and quote + 1
  while from do
    local place = string.find(text, '["\\]', from)
    if not place then return nil end
    if string.sub(text, place, place) == '"' then return quote + 1, place - 1 end
    from = place + 2
  end
end

local function running_json(text, attempt)
  local first, last = find_text(text, 'status')
  if not first then return nil end
  text = string.sub(text, 1, first - 1) .. RUNNING_STATUS .. string.sub(text, last + 1)
  local edits = {
    {'"date_start":null', function() return '"date_start":"' .. date .. '"' end},
    {'"state":"' .. QUEUED .. '"', function() return '"state":"' .. RUNNING .. '"' end},
    -- Together, as an earlier attempt has a number, too.
    {'"version":(%d+),"attempt":' .. attempt .. ',', function(version)
      local next_version = string.format('%.0f', tonumber(version) + 1)
      return '"version":' .. next_version .. ',"attempt":' .. attempt .. ','
    end},
    {'"engine":null', function() return '"engine":"' .. worker .. '"' end},
  }
  for _, edit in ipairs(edits) do
    text = text and replace_first(text, edit[1], edit[2])
  end
  return text
end

-- Ids from the root group down to the job; nil when it does not say.
local function path_of(text)
  local first, last = find_text(text, 'path')
  if not first then return nil end
  local is_read, read = pcall(cjson.decode, '["' .. string.sub(text, first, last) .. '"]')
  if not is_read then return nil end
  local path = {}
  for id in string.gmatch(read[1], '[^:]+') do path[#path + 1] = id end
  return path[1] and path
end

-- Renew all that a job is kept in, and count it in the groups above it.
local function count_as_running(id, path)
  for _, suffix in ipairs({':payload', ':log', ':display', ':files', ':checkpoint'}) do
    redis.call('EXPIRE', prefix .. id .. suffix, lifetime)
  end
  for i = 1, #path - 1 do
    local group = prefix .. path[i]
    count_in(group .. ':totals', QUEUED, -1)
    count_in(group .. ':totals', RUNNING, 1)
    renew_together({group .. ':totals', group .. ':order', group .. ':jobs', group}, lifetime)
  end
  local created = redis.call('ZSCORE', jobs_key, id)
  if created then move_in_indices(jobs_key, id, created, QUEUED, RUNNING, lifetime) end
end

-- What an event tells of a job; the result of an earlier attempt, which is a text, only if it is short.
local function told_json(text)
  local first, last = find_text(text, 'result')
  if not first or #text <= MAX_EVENT then return text end
  return string.sub(text, 1, first - 2) .. 'null,"result_omitted":true' .. string.sub(text, last + 2)
end

-- What a worker is handed: {info object, payload, checkpoint}.
local function handed_out(id, text)
  local checkpoint = redis.pcall('GET', prefix .. id .. ':checkpoint')
  -- Of another type it is none of ours; an error would lose the attempt.
  if type(checkpoint) ~= 'string' then checkpoint = false end
  return {text, redis.call('GET', prefix .. id .. ':payload'), checkpoint}
end

-- Let an attempt run that was taken out of its lane. Return what is handed out, or nil when it is not
-- to be run any more.
local function begin_attempt(member, queue, owner, limit)
  local attempt, id = string.match(member, '^(%d+):(.*)$')
  local present = id and redis.call('GET', prefix .. id)
  local text = present and running_json(present, attempt)
  local path = text and path_of(text)
  if not path then
    redis.call('HDEL', prefix .. 'lanes', member)
    return nil
  end
  local handed = handed_out(id, text)
  redis.call('SET', prefix .. id, text, 'EX', lifetime)
  note_event('started', id, told_json(text))
  redis.call('ZADD', prefix .. 'running', 0, member)
  renewed(prefix .. 'running')
  occupy(member, queue, owner, limit)
  count_as_running(id, path)
  redis.call('PUBLISH', prefix .. id .. ':pubsub', '{"update": ["' .. id .. '"]}')
  redis.call('PUBLISH', jobs_key, '')
  return handed
end

-- Return what begin_attempt did, while the attempt is this worker's.
local function claimed_before(member)
  local attempt, id = string.match(member, '^(%d+):(.*)$')
  local text = redis.call('ZSCORE', prefix .. 'running', member) and redis.call('GET', prefix .. id)
  if text and string.find(text, '"engine":"' .. worker .. '"', 1, true) then
    return handed_out(id, text)
  end
  return nil
end
