-- What jobs that have not ended come after. ARGV: cursor, about how many of these jobs. Returns the next cursor and a list
-- of each. Where a coordinator of the version before has ended one, its list is still there.
local page = call('HSCAN', S .. ':after', ARGV[1], 'COUNT', ARGV[2])
local lists = { page[1] }
for i = 1, #page[2], 2 do
  if call('HEXISTS', S .. ':live', page[2][i]) == 1 then lists[#lists + 1] = page[2][i + 1]
  else call('HDEL', S .. ':after', page[2][i]) end
end
return lists
