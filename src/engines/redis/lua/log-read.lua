-- include room
-- include log
-- ARGV: a random number; then of each log that is to be read five: its id, seq after which to read (-1: only what is
-- needed to decode what comes next), about how many bytes, 1 to begin where nothing earlier is needed to decode it, a
-- process that follows the log from now on or ''. Returns of each a list: the epoch, the head, 1 if that is the end,
-- the epoch in which record `after` was written (0: there is none; where that is -1, the last one), and chunks of one
-- epoch. An empty one where there is no such log.
local PREPARED_BYTES, STEP = 65536, 32

local function prepared(key, length, answer)
  if length == 0 then return answer end
  local _, of, _, _, back = log_header(call('LINDEX', key, -1))
  answer[4] = of
  local bytes, chunks = 0, call('LRANGE', key, -1 - back, -1)
  for _, chunk in ipairs(chunks) do bytes = bytes + #chunk end
  if bytes <= PREPARED_BYTES then
    for _, chunk in ipairs(chunks) do answer[#answer + 1] = chunk end
  end
  return answer
end

-- The first chunk that ends after `seq`.
local function find(key, length, seq)
  local low, high = 0, length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if log_last(call('LINDEX', key, middle)) > seq then high = middle else low = middle + 1 end
  end
  return low
end

local function read(random, id, after, most, decodable, process)
  local key = log_key(id)
  local length = call('LLEN', key)
  local live = call('HEXISTS', S .. ':live', id) == 1
  if length == 0 and not live then return {} end

  local epoch, head, ended = nil, 0, 0
  if length > 0 then
    local flags, of, _, last = log_header(call('LINDEX', key, -1))
    head = last
    if flags % 2 == END then epoch, ended = of, 1 end
  end
  epoch = epoch or log_epoch(random)
  if process ~= '' and live and ended == 0 then log_add(id, process) end
  local answer = { epoch, head, ended, 0 }
  if after < 0 then return prepared(key, length, answer) end

  if after > 0 and after <= head then
    local _, of = log_header(call('LINDEX', key, find(key, length, after - 1)))
    answer[4] = of
  end
  if after >= head then return answer end
  local first = find(key, length, after)
  local _, of, _, _, back = log_header(call('LINDEX', key, first))
  local from = decodable and first - back or first
  local bytes = 0
  for at = from, length - 1, STEP do
    for k, chunk in ipairs(call('LRANGE', key, at, at + STEP - 1)) do
      local _, written, begins, ends, _, raw = log_header(chunk)
      local n = at + k - 1
      if n > first and (written ~= of or bytes >= most) then return answer end
      answer[#answer + 1] = chunk
      -- Of the first one, about what comes after `after`
      if n >= first then bytes = bytes + raw * (ends - math.max(after, begins - 1)) / (ends - begins + 1) end
    end
  end
  return answer
end

local answers = {}
for i = 2, #ARGV, 5 do
  local after, most = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  answers[#answers + 1] = read(ARGV[1], ARGV[i], after, most, ARGV[i + 3] == '1', ARGV[i + 4])
end
return answers
