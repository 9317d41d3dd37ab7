-- ARGV: tenant and time of each. Returns tenants and members of their ends, for jobs that ended by then: the oldest,
-- a few at a time. One that waits for its last reader is left to that.
local due = {}
for i = 1, #ARGV, 2 do
  for _, member in ipairs(call('ZRANGE', S .. ':ends:' .. ARGV[i], '-inf', ARGV[i + 1], 'BYSCORE', 'LIMIT', 0, 100)) do
    if not call('ZSCORE', S .. ':leaving', string.match(member, '^[^:]*')) then
      due[#due + 1] = ARGV[i]
      due[#due + 1] = member
    end
  end
  if #due >= 400 then break end
end
return due
