-- include room
-- Requests of submits that were never taken, as their process died, or their command could not be read, are removed.
-- ARGV: the time by which those that are looked at were stored, and the number of ids after which no further submit is
-- looked at. Returns 1 where more may be left.

-- A submit may be of as many as submit.lua notes in one entry.
local ENTRIES = 50
local AN_ENTRY = 2000
-- Ids of younger submits that a step looks through; where there are more, what it would remove waits.
local YOUNGER = 10000

local most = tonumber(ARGV[2])
local looked, ids = {}, {}
local entries
repeat
  local from = #looked == 0 and '-' or '(' .. looked[#looked]
  entries = call('XRANGE', S .. ':sent', from, ARGV[1], 'COUNT', ENTRIES)
  for _, entry in ipairs(entries) do
    if #ids >= most then break end
    looked[#looked + 1] = entry[1]
    for id in string.gmatch(entry[2][2], '%S+') do ids[#ids + 1] = id end
  end
until #entries < ENTRIES or #ids >= most
if #looked == 0 then return 0 end
local others, rows = {}, {}
for i, live in ipairs(call('HMGET', S .. ':live', unpack(ids))) do
  if not live then
    others[#others + 1] = ids[i]
    rows[#rows + 1] = S .. ':r:' .. ids[i]
  end
end
local dead, left = {}, 0
if #rows > 0 and call('EXISTS', unpack(rows)) < #rows then
  for i, id in ipairs(others) do
    if not dead[id] and call('EXISTS', rows[i]) == 0 then dead[id], left = true, left + 1 end
  end
end
-- A reserved id may have been submitted again since, and what was stored then may yet be taken
local last, seen = looked[#looked], 0
while left > 0 and seen < YOUNGER do
  entries = call('XRANGE', S .. ':sent', '(' .. last, '+', 'COUNT', ENTRIES)
  for _, entry in ipairs(entries) do
    last = entry[1]
    for id in string.gmatch(entry[2][2], '%S+') do
      seen = seen + 1
      if dead[id] then dead[id], left = nil, left - 1 end
    end
    if left == 0 or seen >= YOUNGER then break end
  end
  if #entries < ENTRIES then break end
end
local again = {}
for _, id in ipairs(others) do
  if dead[id] then
    dead[id] = nil
    if seen < YOUNGER then call('UNLINK', S .. ':b:' .. id) else again[#again + 1] = id end
  end
end
-- As if submitted now: in front they would keep the others from being looked at
for from = 1, #again, AN_ENTRY do
  call('XADD', S .. ':sent', '*', 'i', table.concat(again, ' ', from, math.min(from + AN_ENTRY - 1, #again)))
end
call('XDEL', S .. ':sent', unpack(looked))
return #ids >= most and 1 or 0
