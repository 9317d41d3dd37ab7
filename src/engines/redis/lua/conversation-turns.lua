-- include conversations
-- tenant, id, 'newest' or 'oldest', job whose turn is the last of the page before or '', most turns, most bytes.
-- Returns {whether there are more, job, turn, job, turn …}, or false.
local name = conversation_name(ARGV[1], ARGV[2])
local turns = S .. ':ct:' .. name
local back, beyond, most, most_bytes = ARGV[3] == 'newest', ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
if call('EXISTS', S .. ':c:' .. name) == 0 then return false end

-- Where the page begins, and whether that turn is part of it.
local function edge()
  for _, set in ipairs({ ':ct:', ':cj:', ':cx:' }) do
    local seq = call('ZSCORE', S .. set .. name, beyond)
    if seq then return '(' .. seq end
  end
  -- It is long gone. Ids are nearly in this order: those of one gateway are
  local low, high = 0, call('ZCARD', turns)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if call('ZRANGE', turns, middle, middle)[1] < beyond then low = middle + 1 else high = middle end
  end
  if back then low = low - 1 end
  return low >= 0 and call('ZRANGE', turns, low, low, 'WITHSCORES')[2]
end

local from = back and '+inf' or '-inf'
if beyond ~= '' then from = edge() end
if not from then return { '0' } end
local verb, to = 'ZRANGEBYSCORE', '+inf'
if back then verb, to = 'ZREVRANGEBYSCORE', '-inf' end
local jobs = call(verb, turns, from, to, 'LIMIT', 0, most + 1)
local page, bytes, count = { '0' }, 0, 0
for _, job in ipairs(jobs) do
  bytes = bytes + turn_bytes(name, job) + TURN_BYTES
  if count == most or (count > 0 and bytes > most_bytes) then
    page[1] = '1'
    break
  end
  count = count + 1
  page[2 * count] = job
  page[2 * count + 1] = call('HGET', S .. ':cm:' .. name, job) or ''
end
return page
