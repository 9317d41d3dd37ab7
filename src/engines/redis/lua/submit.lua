-- Stores requests, and then the commands that submit them. ARGV: most entries of the inbox; then for each submit its
-- entry of the inbox, digests of API keys, ids and requests ('': stored before); lists have their length first. Returns
-- which were refused, because a key is no longer valid; or negated, because a request is not there any more. Nothing
-- where the inbox is full. Requests do not expire: see submit-left.lua.

-- Fields and commands of one entry of the inbox.
local VALUES_AN_ENTRY = 128
-- A script unpacks no more than about 8,000 values.
local AT_ONCE = 2000

if call('XLEN', S .. ':inbox') >= tonumber(ARGV[1]) then return false end
local at = 1
local function take()
  at = at + 1
  return ARGV[at]
end

local function is_there(id)
  return call('EXISTS', S .. ':b:' .. id, S .. ':r:' .. id) > 0 or call('HEXISTS', S .. ':live', id) == 1
end

local entries, refused, requests, ids = {}, {}, {}, {}
local n = 0
while at < #ARGV do
  n = n + 1
  local entry, valid = take(), true
  for _ = 1, take() do
    local digest = take()
    if call('HEXISTS', S .. ':keys', digest) == 0 or call('HEXISTS', S .. ':keys:revoked', digest) == 1 then
      valid = false
    end
  end
  local bodies, there = tonumber(take()), true
  for i = at + 1, at + bodies, 2 do there = there and (ARGV[i + 1] ~= '' or is_there(ARGV[i])) end
  if not there then
    refused[#refused + 1] = -n
  elseif valid then
    entries[#entries + 1], entries[#entries + 2] = 'c', entry
    for i = at + 1, at + bodies, 2 do
      if ARGV[i + 1] ~= '' then
        ids[#ids + 1] = ARGV[i]
        requests[#requests + 1], requests[#requests + 2] = S .. ':b:' .. ARGV[i], ARGV[i + 1]
      end
    end
  else
    refused[#refused + 1] = n
  end
  at = at + bodies
end
for from = 1, #requests, AT_ONCE do call('MSET', unpack(requests, from, math.min(from + AT_ONCE - 1, #requests))) end
for from = 1, #ids, AT_ONCE do
  call('XADD', S .. ':sent', '*', 'i', table.concat(ids, ' ', from, math.min(from + AT_ONCE - 1, #ids)))
end
for from = 1, #entries, VALUES_AN_ENTRY do
  call('XADD', S .. ':inbox', '*', unpack(entries, from, math.min(from + VALUES_AN_ENTRY - 1, #entries)))
end
return refused
