# The claims of mailseal's plans as controls: the same for every plan. What is claimed stands in
# files/claims.json; files/look.sh looks, on the machine that InSpec was pointed at (-t), and says in one
# line what it saw. Nothing of a claim becomes Ruby, and nothing reaches the shell unquoted.

require 'json'
require 'shellwords'

look = inspec.profile.file('look.sh')
authority = input('authority', value: '', description: 'PEM file of the CA, where it is not as planned')
vantage = input('vantage', value: 'host', description: 'host: all claims; network: what another host sees')

JSON.parse(inspec.profile.file('claims.json')).each do |claim|
  next if vantage == 'network' && !claim['remote']

  control claim['id'] do
    title claim['title']
    desc claim['why']
    impact claim['impact']
    tag cwe: claim['cwe']
    ref claim['standard'], url: claim['url']

    values = claim['values']
    values = values.merge('authority' => authority) unless authority.empty?
    told = values.map { |name, value| "export XCCDF_VALUE_#{name}=#{value.shellescape}" }
    said = bash((told + [look]).join("\n")).stdout.lines.first.to_s.chomp
    describe said do
      it { should match(/\Apass: /) }
    end
  end
end
