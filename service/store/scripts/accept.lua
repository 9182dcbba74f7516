-- Take a rejection back. ARGV: log length, id. Returns the change.
if not lineage then return unknown_gallery() end
for _, field in ipairs(redis.call('HKEYS', rejected)) do
  local number, id = string.match(field, '^(%d+):(%x+)$')
  if id == ARGV[2] then
    redis.call('HDEL', rejected, field)
    local change = append(ARGV[1], 'accept', number, {})
    erased()
    return change
  end
end
return refused('UNKNOWNREJECTION', 'there is no such rejection')
