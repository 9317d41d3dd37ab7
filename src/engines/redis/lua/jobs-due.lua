-- ARGV: of each, tenant, time, and how many of its oldest were looked at already and stay. Returns tenants and members of their ends, for jobs that ended by then: the oldest,
-- a few at a time. One that waits for its last reader is left to that.
local due = {}
for i = 1, #ARGV, 3 do
  local ends, until_ms, from = S .. ':ends:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  for _, member in ipairs(call('ZRANGE', ends, '-inf', until_ms, 'BYSCORE', 'LIMIT', from, 100)) do
    if not call('ZSCORE', S .. ':leaving', string.match(member, '^[^:]*')) then
      due[#due + 1] = ARGV[i]
      due[#due + 1] = member
    end
  end
  if #due >= 400 then break end
end
return due
