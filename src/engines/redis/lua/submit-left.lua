-- include room
-- Requests of submits that were never taken, as their process died, or their command could not be read, are removed.
-- ARGV: the time by which those that are looked at were stored, and the number of ids after which no further submit is
-- looked at. Returns 1 where more may be left.

-- A submit may be of as many as submit.lua notes in one entry.
local ENTRIES = 50

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
if #rows > 0 and call('EXISTS', unpack(rows)) < #rows then
  for i, id in ipairs(others) do
    if call('EXISTS', rows[i]) == 0 then call('UNLINK', S .. ':b:' .. id) end
  end
end
call('XDEL', S .. ':sent', unpack(looked))
return #ids >= most and 1 or 0
