-- include sign-ins
-- session, ms, now. Returns the role, or false.
local now = tonumber(ARGV[3])
local role = take(SESSIONS, ARGV[1], now)
if not role then return false end
call('HSET', SESSIONS, ARGV[1], role .. ' ' .. string.format('%.0f', now + ARGV[2]))
return role
