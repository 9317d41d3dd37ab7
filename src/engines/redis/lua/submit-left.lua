-- include room
-- Requests of submits that were never taken, as their process died, or their command could not be read, are removed.
-- ARGV: the time by which those that are looked at were stored, and how many submits at most. Returns how many.
local entries = call('XRANGE', S .. ':sent', '-', ARGV[1], 'COUNT', ARGV[2])
local looked = {}
for n, entry in ipairs(entries) do
  looked[n] = entry[1]
  local ids, others, rows = {}, {}, {}
  for id in string.gmatch(entry[2][2], '%S+') do ids[#ids + 1] = id end
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
end
if #looked > 0 then call('XDEL', S .. ':sent', unpack(looked)) end
return #looked
